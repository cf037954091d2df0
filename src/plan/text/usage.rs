//! Buffers, times of I/O, WAL and other counts that text prints as `name=number` and only where they aren't zero.

use crate::plan::value::{Json, Object};

/// Keys of `Buffers`, in the order of every other format.
pub(super) const BUFFERS: [&str; 10] = [
    "Shared Hit Blocks",
    "Shared Read Blocks",
    "Shared Dirtied Blocks",
    "Shared Written Blocks",
    "Local Hit Blocks",
    "Local Read Blocks",
    "Local Dirtied Blocks",
    "Local Written Blocks",
    "Temp Read Blocks",
    "Temp Written Blocks",
];

/// Writes the line's keys, zero for what it doesn't name. `false` where the label is none of these.
pub(super) fn write<'a>(object: &mut Object<'a>, label: &str, printed: &'a str) -> bool {
    let keys: &[(&str, &'static str)] = match label {
        // shared hit=1 read=2 dirtied=3 written=4, local …, temp read=1 written=2
        "Buffers" => &[
            ("shared hit", BUFFERS[0]),
            ("shared read", BUFFERS[1]),
            ("shared dirtied", BUFFERS[2]),
            ("shared written", BUFFERS[3]),
            ("local hit", BUFFERS[4]),
            ("local read", BUFFERS[5]),
            ("local dirtied", BUFFERS[6]),
            ("local written", BUFFERS[7]),
            ("temp read", BUFFERS[8]),
            ("temp written", BUFFERS[9]),
        ],
        // 13 and 14: read=1.5 write=1.5
        "I/O Timings" if printed.starts_with(['r', 'w']) => {
            &[("read", "I/O Read Time"), ("write", "I/O Write Time")]
        }
        // 15 and 16: shared/local read=1.5 write=1.5, temp read=1.5 write=1.5
        "I/O Timings" if printed.starts_with("shared/local ") => &[
            ("shared/local read", "I/O Read Time"),
            ("shared/local write", "I/O Write Time"),
            ("temp read", "Temp I/O Read Time"),
            ("temp write", "Temp I/O Write Time"),
        ],
        // The same in 15 to 18.
        "I/O Timings" if printed.starts_with("temp ") => &[
            ("temp read", "Temp I/O Read Time"),
            ("temp write", "Temp I/O Write Time"),
        ],
        // 17 and later: shared read=1.5 write=1.5, local …, temp …
        "I/O Timings" => &[
            ("shared read", "Shared I/O Read Time"),
            ("shared write", "Shared I/O Write Time"),
            ("local read", "Local I/O Read Time"),
            ("local write", "Local I/O Write Time"),
            ("temp read", "Temp I/O Read Time"),
            ("temp write", "Temp I/O Write Time"),
        ],
        // 18 has buffers full=1, other releases have no such key.
        "WAL" if printed.contains("buffers full=") => &[
            ("records", "WAL Records"),
            ("fpi", "WAL FPI"),
            ("bytes", "WAL Bytes"),
            ("buffers full", "WAL Buffers Full"),
        ],
        "WAL" => &[
            ("records", "WAL Records"),
            ("fpi", "WAL FPI"),
            ("bytes", "WAL Bytes"),
        ],
        "Heap Blocks" => &[
            ("exact", "Exact Heap Blocks"),
            ("lossy", "Lossy Heap Blocks"),
        ],
        "Tuples" => &[
            ("inserted", "Tuples Inserted"),
            ("updated", "Tuples Updated"),
            ("deleted", "Tuples Deleted"),
            ("skipped", "Tuples Skipped"),
        ],
        _ => return false,
    };
    let counted = counts(printed);
    for (name, key) in keys {
        let count = counted
            .iter()
            .find(|(group, count, _)| match group {
                Some(group) => {
                    name.strip_prefix(group)
                        .and_then(|rest| rest.strip_prefix(' '))
                        == Some(count)
                }
                None => name == count,
            })
            .map_or("0", |(_, _, number)| number);
        object.push(*key, Json::scalar(count));
    }
    true
}

/// `group name=number name=number, group name=number` to (group, name, number); there may be no group.
fn counts(printed: &str) -> Vec<(Option<&str>, &str, &str)> {
    let mut counts = Vec::new();
    for part in printed.split(", ") {
        let mut group = None;
        for word in part.split(' ') {
            match word.split_once('=') {
                Some((name, number)) => counts.push((group, name, number)),
                None => group = Some(word),
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(label: &str, printed: &str, json: &str) {
        let mut object = Object::default();
        assert!(write(&mut object, label, printed));
        assert_eq!(serde_json::to_string(&object).ok().as_deref(), Some(json));
    }

    #[test]
    fn what_is_not_printed_is_zero() {
        check(
            "Buffers",
            "shared hit=5 dirtied=2, temp read=3 written=4",
            r#"{"Shared Hit Blocks":5,"Shared Read Blocks":0,"Shared Dirtied Blocks":2,"Shared Written Blocks":0,"Local Hit Blocks":0,"Local Read Blocks":0,"Local Dirtied Blocks":0,"Local Written Blocks":0,"Temp Read Blocks":3,"Temp Written Blocks":4}"#,
        );
        check(
            "Heap Blocks",
            "lossy=7",
            r#"{"Exact Heap Blocks":0,"Lossy Heap Blocks":7}"#,
        );
        check(
            "Tuples",
            "inserted=1 skipped=2",
            r#"{"Tuples Inserted":1,"Tuples Updated":0,"Tuples Deleted":0,"Tuples Skipped":2}"#,
        );
    }

    #[test]
    fn times_of_each_release() {
        check(
            "I/O Timings",
            "read=0.5 write=1.5",
            r#"{"I/O Read Time":0.5,"I/O Write Time":1.5}"#,
        );
        check(
            "I/O Timings",
            "shared/local read=0.5, temp write=1.5",
            r#"{"I/O Read Time":0.5,"I/O Write Time":0,"Temp I/O Read Time":0,"Temp I/O Write Time":1.5}"#,
        );
        check(
            "I/O Timings",
            "temp read=1.5",
            r#"{"Temp I/O Read Time":1.5,"Temp I/O Write Time":0}"#,
        );
        check(
            "I/O Timings",
            "shared read=0.5, local write=2.5",
            r#"{"Shared I/O Read Time":0.5,"Shared I/O Write Time":0,"Local I/O Read Time":0,"Local I/O Write Time":2.5,"Temp I/O Read Time":0,"Temp I/O Write Time":0}"#,
        );
    }

    #[test]
    fn wal_of_18_tells_of_full_buffers() {
        check(
            "WAL",
            "records=3 bytes=99",
            r#"{"WAL Records":3,"WAL FPI":0,"WAL Bytes":99}"#,
        );
        check(
            "WAL",
            "records=3 fpi=1 bytes=99 buffers full=2",
            r#"{"WAL Records":3,"WAL FPI":1,"WAL Bytes":99,"WAL Buffers Full":2}"#,
        );
    }
}
