//! Single values: words, ranges and positive numbers. What is wrong comes back as an error that names setting, value and remedy.

use std::{fmt::Display, ops::RangeInclusive};

use super::Error;

/// The value that a word stands for.
pub(super) fn choice<T: Copy>(
    setting: &'static str,
    given: Option<&str>,
    choices: &[(&str, T)],
) -> Result<Option<T>, Error> {
    let Some(given) = given else { return Ok(None) };
    match choices.iter().find(|(word, _)| *word == given) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let words: Vec<String> = choices
                .iter()
                .map(|(word, _)| format!("{word:?}"))
                .collect();
            let remedy = format!("write {}, or leave it out", words.join(" or "));
            Err(Error::value(setting, given, &remedy))
        }
    }
}

pub(super) fn within<T: PartialOrd + Display>(
    setting: &'static str,
    given: Option<T>,
    range: RangeInclusive<T>,
    unit: &str,
) -> Result<Option<T>, Error> {
    match given {
        Some(value) if !range.contains(&value) => {
            let remedy = format!("{} to {} {unit}", range.start(), range.end());
            Err(Error::value(setting, &value.to_string(), &remedy))
        }
        given => Ok(given),
    }
}

pub(super) fn positive(setting: &'static str, given: Option<f64>) -> Result<Option<f64>, Error> {
    match given {
        Some(value) if !(value > 0.0 && value.is_finite()) => Err(Error::value(
            setting,
            &value.to_string(),
            "a positive number of milliseconds",
        )),
        given => Ok(given),
    }
}
