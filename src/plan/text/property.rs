//! The lines below a node's first: `Label: value`, and several of them on one line.

use super::{line, usage};
use crate::plan::{
    keys,
    value::{Json, Object},
};

/// Writes what `text` says of a node or a worker. What is no `Label: value` is left out: an extension's own way of drawing.
pub(super) fn write<'a>(object: &mut Object<'a>, text: &'a str) {
    let Some((label, value)) = line::labelled(text) else {
        return;
    };
    if usage::write(object, label, value) {
        return;
    }
    match label {
        "Sort Method" => sort_method(object, value),
        "Full-sort Groups" | "Pre-sorted Groups" => object.push(label, sort_groups(value)),
        "Buckets" | "Batches" | "Planned Partitions" | "Hits" | "Storage" => counts(object, text),
        "Sampling" => sampling(object, value),
        _ => object.push(label, of_key(label, value)),
    }
}

/// The value that `key` has in the other formats. Numbers may have a unit after them, which the key tells.
fn of_key<'a>(key: &str, printed: &'a str) -> Json<'a> {
    if keys::is_scalar(key) {
        let number = printed
            .split_once(' ')
            .map_or(printed, |(number, _)| number);
        Json::scalar(number)
    } else if keys::is_list(key) {
        line::list(printed)
    } else {
        Json::text(printed)
    }
}

/// `quicksort  Memory: 25kB`
fn sort_method<'a>(object: &mut Object<'a>, printed: &'a str) {
    let (method, space) = printed.split_once("  ").unwrap_or((printed, ""));
    object.push("Sort Method", Json::text(method));
    if let Some((space_type, used)) = space.split_once(": ") {
        object.push("Sort Space Used", kilobytes(used));
        object.push("Sort Space Type", Json::text(space_type));
    }
}

/// `2  Sort Methods: top-N heapsort, quicksort  Average Memory: 25kB  Peak Memory: 26kB  Average Disk: 8kB  Peak Disk: 9kB`
fn sort_groups(printed: &str) -> Json<'_> {
    let mut groups = Object::default();
    for part in printed.split("  ") {
        let Some((label, value)) = part.split_once(": ") else {
            groups.push("Group Count", Json::scalar(part));
            continue;
        };
        let (key, of_space) = match label {
            "Sort Method" | "Sort Methods" => {
                groups.push("Sort Methods Used", line::list(value));
                continue;
            }
            "Average Memory" => ("Sort Space Memory", "Average Sort Space Used"),
            "Peak Memory" => ("Sort Space Memory", "Peak Sort Space Used"),
            "Average Disk" => ("Sort Space Disk", "Average Sort Space Used"),
            "Peak Disk" => ("Sort Space Disk", "Peak Sort Space Used"),
            _ => continue,
        };
        match groups.0.last_mut() {
            Some((last, Json::Object(space))) if last == key => {
                space.push(of_space, kilobytes(value));
            }
            _ => {
                let space = Object(vec![(of_space.into(), kilobytes(value))]);
                groups.push(key, Json::Object(space));
            }
        }
    }
    Json::Object(groups)
}

/// Several on one line, two blanks between them:
/// - of a hash: `Buckets: 1024 (originally 512)  Batches: 2 (originally 1)  Memory Usage: 40kB`
/// - of a hashed aggregate: `Planned Partitions: 4  Batches: 5  Memory Usage: 4145kB  Disk Usage: 8kB`
/// - of a memoize: `Hits: 1  Misses: 2  Evictions: 3  Overflows: 4  Memory Usage: 5kB`
/// - of what keeps rows (18): `Storage: Memory  Maximum Storage: 17kB`
fn counts<'a>(object: &mut Object<'a>, text: &'a str) {
    let of_hash = text.starts_with("Buckets: ");
    let mut spilled = true;
    for part in text.split("  ") {
        let Some((label, value)) = part.split_once(": ") else {
            continue;
        };
        let (key, original) = match label {
            "Buckets" => ("Hash Buckets", Some("Original Hash Buckets")),
            "Batches" if of_hash => ("Hash Batches", Some("Original Hash Batches")),
            "Batches" => {
                spilled = false;
                ("HashAgg Batches", None)
            }
            "Hits" => ("Cache Hits", None),
            "Misses" => ("Cache Misses", None),
            "Evictions" => ("Cache Evictions", None),
            "Overflows" => ("Cache Overflows", None),
            "Memory Usage" => ("Peak Memory Usage", None),
            "Disk Usage" => {
                spilled = true;
                ("Disk Usage", None)
            }
            "Storage" => {
                object.push("Storage", Json::text(value));
                continue;
            }
            _ => (label, None),
        };
        let (number, was) = match value.split_once(" (originally ") {
            Some((number, was)) => (number, was.trim_end_matches(')')),
            None => (value, value),
        };
        object.push(key, kilobytes(number));
        if let Some(original) = original {
            object.push(original, Json::scalar(was));
        }
    }
    if !spilled {
        object.push("Disk Usage", Json::scalar("0"));
    }
}

fn kilobytes(printed: &str) -> Json<'_> {
    Json::scalar(printed.strip_suffix("kB").unwrap_or(printed))
}

/// `bernoulli ('10'::real) REPEATABLE ('0'::double precision)`
fn sampling<'a>(object: &mut Object<'a>, printed: &'a str) {
    let (method, rest) = printed.split_once(" (").unwrap_or((printed, ""));
    object.push("Sampling Method", Json::text(method));
    let (parameters, seed) = match rest.rsplit_once(") REPEATABLE (") {
        Some((parameters, seed)) => (parameters, seed.strip_suffix(')')),
        None => (rest.strip_suffix(')').unwrap_or(rest), None),
    };
    object.push(
        "Sampling Parameters",
        match parameters {
            "" => Json::List(Vec::new()),
            _ => line::list(parameters),
        },
    );
    if let Some(seed) = seed {
        object.push("Repeatable Seed", Json::text(seed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, json: &str) {
        let mut object = Object::default();
        write(&mut object, line);
        assert_eq!(
            serde_json::to_string(&object).ok().as_deref(),
            Some(json),
            "{line}"
        );
    }

    #[test]
    fn one_label() {
        check("Heap Fetches: 12", r#"{"Heap Fetches":12}"#);
        check("Foreign File Size: 12 b", r#"{"Foreign File Size":12}"#);
        check("Inner Unique: true", r#"{"Inner Unique":true}"#);
        check("Output: a, b", r#"{"Output":["a","b"]}"#);
        check("One-Time Filter: false", r#"{"One-Time Filter":"false"}"#);
        check("Some New Cond: 4711", r#"{"Some New Cond":"4711"}"#);
        check("Tasks Shown One of 32", "{}");
    }

    #[test]
    fn sorts() {
        check(
            "Sort Method: external merge  Disk: 4096kB",
            r#"{"Sort Method":"external merge","Sort Space Used":4096,"Sort Space Type":"Disk"}"#,
        );
        check(
            "Pre-sorted Groups: 2  Sort Methods: top-N heapsort, quicksort  Average Memory: 25kB  Peak Memory: 26kB  Average Disk: 8kB  Peak Disk: 9kB",
            r#"{"Pre-sorted Groups":{"Group Count":2,"Sort Methods Used":["top-N heapsort","quicksort"],"Sort Space Memory":{"Average Sort Space Used":25,"Peak Sort Space Used":26},"Sort Space Disk":{"Average Sort Space Used":8,"Peak Sort Space Used":9}}}"#,
        );
    }

    #[test]
    fn hashes() {
        check(
            "Buckets: 1024  Batches: 2 (originally 1)  Memory Usage: 40kB",
            r#"{"Hash Buckets":1024,"Original Hash Buckets":1024,"Hash Batches":2,"Original Hash Batches":1,"Peak Memory Usage":40}"#,
        );
        check(
            "Planned Partitions: 4  Batches: 5  Memory Usage: 4145kB  Disk Usage: 8kB",
            r#"{"Planned Partitions":4,"HashAgg Batches":5,"Peak Memory Usage":4145,"Disk Usage":8}"#,
        );
        check(
            "Batches: 1  Memory Usage: 24kB",
            r#"{"HashAgg Batches":1,"Peak Memory Usage":24,"Disk Usage":0}"#,
        );
        check("Planned Partitions: 4", r#"{"Planned Partitions":4}"#);
        check(
            "Hits: 1  Misses: 2  Evictions: 3  Overflows: 4  Memory Usage: 5kB",
            r#"{"Cache Hits":1,"Cache Misses":2,"Cache Evictions":3,"Cache Overflows":4,"Peak Memory Usage":5}"#,
        );
        check(
            "Storage: Disk  Maximum Storage: 17kB",
            r#"{"Storage":"Disk","Maximum Storage":17}"#,
        );
    }

    #[test]
    fn samples() {
        check(
            "Sampling: bernoulli ('10'::real) REPEATABLE ('0'::double precision)",
            r#"{"Sampling Method":"bernoulli","Sampling Parameters":["'10'::real"],"Repeatable Seed":"'0'::double precision"}"#,
        );
        check(
            "Sampling: system_rows (x.n, '5'::bigint)",
            r#"{"Sampling Method":"system_rows","Sampling Parameters":["x.n","'5'::bigint"]}"#,
        );
    }
}
