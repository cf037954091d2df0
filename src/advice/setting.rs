//! The settings that a model may propose, each with the values that make sense for one session.

use super::Rejection;

/// What a setting's value may be.
enum Values {
    /// A whole number of kB, MB or GB between these kilobytes.
    Memory {
        min_kb: u64,
        max_kb: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Whole {
        min: u32,
        max: u32,
    },
    OneOf(&'static [&'static str]),
}

const ALLOWED: [(&str, Values); 10] = [
    (
        "work_mem",
        Values::Memory {
            min_kb: 64,
            max_kb: 1024 * 1024,
        },
    ),
    ("hash_mem_multiplier", Values::Number { min: 1.0, max: 8.0 }),
    ("jit", Values::OneOf(&["on", "off"])),
    (
        "random_page_cost",
        Values::Number {
            min: 1.0,
            max: 10.0,
        },
    ),
    (
        "effective_cache_size",
        Values::Memory {
            min_kb: 1024,
            max_kb: 1024 * 1024 * 1024,
        },
    ),
    (
        "default_statistics_target",
        Values::Whole {
            min: 10,
            max: 10_000,
        },
    ),
    (
        "max_parallel_workers_per_gather",
        Values::Whole { min: 0, max: 16 },
    ),
    ("join_collapse_limit", Values::Whole { min: 1, max: 20 }),
    ("from_collapse_limit", Values::Whole { min: 1, max: 20 }),
    (
        "plan_cache_mode",
        Values::OneOf(&["auto", "force_custom_plan", "force_generic_plan"]),
    ),
];

/// The setting's own name and its value as it is written, if both are allowed.
pub(super) fn allowed<'v>(
    name: &str,
    value: &'v str,
) -> Result<(&'static str, &'v str), Rejection> {
    let (name, values) = ALLOWED
        .iter()
        .find(|(allowed, _)| *allowed == name)
        .ok_or(Rejection::SettingNotAllowed)?;
    let plain_number = value
        .chars()
        .all(|c| c.is_ascii_digit() || c == '.')
        .then_some(value);
    let fits = match values {
        Values::Memory { min_kb, max_kb } => {
            kilobytes(value).is_some_and(|kb| (*min_kb..=*max_kb).contains(&kb))
        }
        Values::Number { min, max } => plain_number
            .and_then(|value| value.parse::<f64>().ok())
            .is_some_and(|number| (*min..=*max).contains(&number)),
        Values::Whole { min, max } => plain_number
            .and_then(|value| value.parse::<u32>().ok())
            .is_some_and(|number| (*min..=*max).contains(&number)),
        Values::OneOf(words) => words.contains(&value),
    };
    if fits {
        Ok((*name, value))
    } else {
        Err(Rejection::SettingNotAllowed)
    }
}

/// Whether a plan may be sent with this setting: its value is a number or one of PostgreSQL's words.
pub(super) fn is_allowed_name(name: &str) -> bool {
    ALLOWED.iter().any(|(allowed, _)| *allowed == name)
}

/// `64MB`, as PostgreSQL writes memory (Server Configuration, 20.1.1).
fn kilobytes(value: &str) -> Option<u64> {
    [("kB", 1), ("MB", 1024), ("GB", 1024 * 1024)]
        .iter()
        .find_map(|(unit, factor)| {
            let number = value.strip_suffix(unit)?;
            let digits = number.chars().all(|c| c.is_ascii_digit());
            number
                .parse::<u64>()
                .ok()?
                .checked_mul(*factor)
                .filter(|_| digits)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_the_list_in_their_bounds_pass() {
        for (name, value, expected) in [
            ("work_mem", "64MB", true),
            ("work_mem", "2GB", false),
            ("work_mem", "+64MB", false),
            ("work_mem", "64 MB", false),
            ("work_mem", "64MB'; drop table t; --", false),
            ("work_mem", "99999999999999999999GB", false),
            ("hash_mem_multiplier", "2.0", true),
            ("hash_mem_multiplier", "NaN", false),
            ("hash_mem_multiplier", "1e1", false),
            ("jit", "off", true),
            ("jit", "OFF", false),
            ("max_parallel_workers_per_gather", "4", true),
            ("max_parallel_workers_per_gather", "-1", false),
            ("autovacuum_enabled", "off", false),
            ("shared_preload_libraries", "x", false),
            ("session_authorization", "postgres", false),
        ] {
            assert_eq!(allowed(name, value).is_ok(), expected, "{name} = {value}");
        }
    }
}
