//! How numbers and conditions are written in the messages of findings and recommendations: `1,200,000`, `812 ms`, `64MB`.

/// A count with thousands separators, rounded to a whole number.
pub(super) fn count(value: f64) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.1e}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value <= -0.5 {
        text.push('-');
    }
    for (number, digit) in digits.chars().enumerate() {
        if number > 0 && (digits.len() - number).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds with as many decimals as matter.
pub(super) fn ms(value: f64) -> String {
    if value >= 10.0 {
        format!("{} ms", count(value))
    } else if value >= 1.0 {
        format!("{value:.1} ms")
    } else {
        format!("{value:.3} ms")
    }
}

/// A number of kilobytes the way PostgreSQL's memory settings write it: in the largest unit that divides it.
pub(super) fn memory(kilobytes: f64) -> String {
    let (mut value, mut unit) = (kilobytes, "kB");
    for larger in ["MB", "GB"] {
        if value < 1024.0 || value % 1024.0 != 0.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.0}{unit}")
}

/// A condition, cut after 120 characters: a message is one sentence, and an IN list can be a page.
pub(super) fn condition(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (value, expected) in [
            (0.0, "0"),
            (0.4, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1_200_000.0, "1,200,000"),
            (-12_345.0, "-12,345"),
            (1e300, "1.0e300"),
        ] {
            assert_eq!(count(value), expected);
        }
        for (value, expected) in [(0.0274, "0.027 ms"), (3.25, "3.2 ms"), (912.4, "912 ms")] {
            assert_eq!(ms(value), expected);
        }
        for (value, expected) in [(64.0, "64kB"), (65_536.0, "64MB"), (1_048_576.0, "1GB")] {
            assert_eq!(memory(value), expected);
        }
        assert_eq!(condition(&"ä".repeat(120)), "ä".repeat(120));
        assert_eq!(condition(&"ä".repeat(121)), format!("{}…", "ä".repeat(120)));
    }
}
