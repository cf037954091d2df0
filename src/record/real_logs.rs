//! Real logs of PostgreSQL 13 to 18, with counts made from csvlog and jsonlog copies of them: every record is found, whatever the chunks are,
//! and from every settled offset on. The logs lie outside of the crate; without them these tests say so and pass.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::model::position::{GenerationId, LogFormat};
use crate::model::record::LogRecord;

use super::*;

/// One folder of logs written under the same settings.
struct Case {
    name: String,
    /// Each file whole.
    files: Vec<Vec<u8>>,
    format: Format,
    records_total: u64,
    by_severity: BTreeMap<String, u64>,
}

/// What the cases read here are named like: each format and version, each kind of prefix, names and texts that look like something else.
const NAMES: &[&str] = &[
    "v13-json-full",
    "v18-json-full",
    "prefix-",
    "csvonly-",
    "jsononly-",
    "rotate-size",
    "lc-",
    "dur-stmts-only",
    "dur-plans-only",
    "inject-",
    "encodings-",
    "nasty-verbose-",
    "tz-",
    "crash-",
];

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/cases");
    let Ok(entries) = fs::read_dir(&folder) else {
        #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
        {
            eprintln!("skipped: no logs in {}", folder.display());
        }
        return Vec::new();
    };
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            NAMES.iter().any(|known| name.starts_with(known))
        })
        .collect();
    cases.sort();
    cases
}

fn read_case(folder: &Path, most_bytes: u64) -> Case {
    let truth: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let settings = fs::read_to_string(folder.join("settings.conf")).unwrap();
    let prefix = settings
        .lines()
        .find_map(|line| line.strip_prefix("log_line_prefix = '")?.strip_suffix('\''))
        .unwrap_or("%m [%p] ");
    let names: Vec<&str> = truth["read"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let format = match names[0].rsplit_once('.').unwrap().1 {
        "csv" => Format::Csvlog,
        "json" => Format::Jsonlog,
        _ => Format::Stderr(LinePrefix::parse(prefix).unwrap()),
    };
    Case {
        name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        files: names
            .iter()
            .map(|name| read_log(&folder.join(name), most_bytes))
            .collect(),
        format,
        records_total: truth["records_total"].as_u64().unwrap(),
        by_severity: truth["by_severity"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(severity, count)| (severity.clone(), count.as_u64().unwrap()))
            .collect(),
    }
}

/// The file, or its beginning up to the last line break in that many bytes.
fn read_log(path: &Path, most_bytes: u64) -> Vec<u8> {
    let mut log = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        file.take(most_bytes).read_to_end(&mut log).unwrap();
    } else {
        let file = fs::File::open(format!("{}.gz", path.display())).unwrap();
        let decoder = flate2::read::MultiGzDecoder::new(file);
        decoder.take(most_bytes).read_to_end(&mut log).unwrap();
    }
    log.truncate(memchr::memrchr(b'\n', &log).unwrap() + 1);
    log
}

fn assembler(format: &Format, offset_bytes: u64) -> Assembler {
    let layout = Layout {
        format: format.clone(),
        time_zone: None,
    };
    Assembler::new(layout, GenerationId(7), offset_bytes, &Config::default())
}

fn assembled(
    format: &Format,
    log: &[u8],
    chunk_sizes: &mut dyn FnMut() -> usize,
) -> Vec<Assembled> {
    let mut out = Vec::new();
    let mut assembler = assembler(format, 0);
    let mut rest = log;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunk_sizes().clamp(1, rest.len()));
        assembler.push(chunk, Timestamp::UNIX_EPOCH, &mut |item| out.push(item));
        rest = after;
    }
    assembler.finish(&mut |item| out.push(item));
    assert_eq!(assembler.settled_bytes(), log.len() as u64);
    out
}

fn record(assembled: &Assembled) -> Option<&LogRecord> {
    match assembled {
        Assembled::Record(record) => Some(record),
        _ => None,
    }
}

pub(super) fn range(assembled: &Assembled) -> (u64, u64) {
    match assembled {
        Assembled::Record(record) => (record.position.offset_bytes, record.end_bytes),
        Assembled::Unparsed {
            start_bytes,
            end_bytes,
            ..
        }
        | Assembled::Torn {
            start_bytes,
            end_bytes,
            ..
        }
        | Assembled::Foreign {
            start_bytes,
            end_bytes,
        }
        | Assembled::Rest {
            start_bytes,
            end_bytes,
        } => (*start_bytes, *end_bytes),
    }
}

/// Sizes that repeat from run to run, most of them small.
fn random_sizes() -> impl FnMut() -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % [7, 200, 5000, 100_000][usize::try_from(state >> 62).unwrap()])
            .unwrap()
            + 1
    }
}

#[test]
fn every_record_of_real_logs() {
    for folder in cases() {
        let case = read_case(&folder, u64::MAX);
        let mut by_severity: BTreeMap<String, u64> = BTreeMap::new();
        for log in &case.files {
            let mut covered_bytes = 0;
            for item in assembled(&case.format, log, &mut || usize::MAX) {
                assert_eq!(range(&item).0, covered_bytes, "{}", case.name);
                covered_bytes = range(&item).1;
                let Some(record) = record(&item) else {
                    panic!("{}: {item:?}", case.name);
                };
                *by_severity
                    .entry(record.error_severity.as_str().to_owned())
                    .or_default() += 1;
            }
            assert_eq!(covered_bytes, log.len() as u64, "{}", case.name);
        }
        assert_eq!(by_severity, case.by_severity, "{}", case.name);
        assert_eq!(
            by_severity.values().sum::<u64>(),
            case.records_total,
            "{}",
            case.name
        );
    }
}

#[test]
fn chunks_and_restarts_make_no_difference() {
    for folder in cases() {
        let case = read_case(&folder, 60_000);
        for log in &case.files {
            let whole = assembled(&case.format, log, &mut || usize::MAX);
            assert_eq!(
                assembled(&case.format, log, &mut random_sizes()),
                whole,
                "{}",
                case.name
            );
            let mut sizes = random_sizes();
            let mut cut = assembler(&case.format, 0);
            let mut pushed = 0;
            let mut count = 0;
            while pushed < log.len() {
                let size = sizes().min(log.len() - pushed);
                cut.push(
                    &log[pushed..pushed + size],
                    Timestamp::UNIX_EPOCH,
                    &mut |_| count += 1,
                );
                pushed += size;
                let settled_bytes = cut.settled_bytes();
                assert_eq!(
                    whole[..count].last().map_or(0, |item| range(item).1),
                    settled_bytes,
                    "{}",
                    case.name
                );
                for pending in cut.pending() {
                    assert_eq!(
                        (pending.position.offset_bytes, pending.end_bytes),
                        (settled_bytes, pushed as u64),
                        "{}",
                        case.name
                    );
                }
                if sizes().is_multiple_of(16) {
                    let mut anew = assembler(&case.format, settled_bytes);
                    let mut rest = Vec::new();
                    anew.push(
                        &log[usize::try_from(settled_bytes).unwrap()..],
                        Timestamp::UNIX_EPOCH,
                        &mut |item| rest.push(item),
                    );
                    anew.finish(&mut |item| rest.push(item));
                    assert_eq!(rest, whole[count..], "{} at {settled_bytes}", case.name);
                }
            }
        }
    }
}

#[test]
fn detected_prefixes_read_what_the_real_ones_read() {
    let mut not_the_real_one = Vec::new();
    for folder in cases() {
        let case = read_case(&folder, 100_000);
        let log = case.files[0].as_slice();
        // Up to the last whole record of what was read.
        let log = match assembled(&case.format, log, &mut || usize::MAX).last() {
            Some(torn @ Assembled::Torn { .. }) => &log[..usize::try_from(range(torn).0).unwrap()],
            _ => log,
        };
        let format = match case.format {
            Format::Stderr(_) => LogFormat::Stderr,
            Format::Csvlog => LogFormat::Csvlog,
            Format::Jsonlog => LogFormat::Jsonlog,
            Format::Wrapped(_) => panic!("no case is wrapped"),
        };
        assert_eq!(detect::format(log), Some(format), "{}", case.name);
        let Format::Stderr(real) = &case.format else {
            continue;
        };
        let detected = detect::line_prefix(log).prefix;
        if detected.as_ref() != Some(real) {
            let setting = detected.as_ref().map(|prefix| prefix.as_str().to_owned());
            not_the_real_one.push((case.name.clone(), setting));
        }
        let Some(prefix) = detected else {
            continue;
        };
        let found = assembled(&Format::Stderr(prefix), log, &mut || usize::MAX);
        let expected = assembled(&case.format, log, &mut || usize::MAX);
        assert_eq!(found.len(), expected.len(), "{}", case.name);
        for (found, expected) in found.iter().zip(&expected) {
            let (Some(found), Some(expected)) = (record(found), record(expected)) else {
                panic!("{}: {found:?}", case.name);
            };
            let known = |found: &Option<String>, expected: &Option<String>| {
                if found.is_some() {
                    expected.clone()
                } else {
                    None
                }
            };
            let expected = LogRecord {
                user_name: known(&found.user_name, &expected.user_name),
                database_name: known(&found.database_name, &expected.database_name),
                application_name: known(&found.application_name, &expected.application_name),
                connection_from: known(&found.connection_from, &expected.connection_from),
                ..expected.clone()
            };
            assert_eq!(*found, expected, "{}", case.name);
        }
    }
    for (name, detected) in not_the_real_one {
        let expected = match name.as_str() {
            // A number that never changes may be a value.
            "prefix-percent" => Some("%m %*%% [%p] ".to_owned()),
            // Three names between bars, and no other file to tell them by.
            "prefix-everything" => {
                Some("%m|%n|%t|%p|%*|%l|%t|%c|%v|%x|%e|%i|%b|%Q|%*|%*|%r|%h|%*| ".to_owned())
            }
            _ => panic!("{name}: {detected:?}"),
        };
        assert_eq!(detected, expected, "{name}");
    }
}

/// Logs that went through a pipe with a slow reader, against the same records one datagram each.
#[test]
fn records_of_torn_logs_hold_nothing_of_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/cases");
    for name in [
        "conc-slowpipe-v13",
        "conc-slowpipe-v15",
        "conc-slowpipe-v18",
    ] {
        let folder = folder.join(name);
        if !folder.exists() {
            continue;
        }
        let case = read_case(&folder, u64::MAX);
        let twin = read_log(&folder.join("twin/syslog.jsonl"), u64::MAX);
        let mut whole = Vec::new();
        for datagram in twin.split(|byte| *byte == b'\n') {
            let Ok(datagram) = serde_json::from_slice::<String>(datagram) else {
                continue;
            };
            let (_, text) = datagram.split_once("] ").unwrap();
            for item in assembled(&case.format, text.as_bytes(), &mut || usize::MAX) {
                let record = record(&item).unwrap();
                whole.push((
                    record.process_id,
                    record.message.clone(),
                    record.detail.clone(),
                    record.context.clone(),
                ));
            }
        }
        whole.sort();
        let mut read = 0;
        for item in assembled(&case.format, &case.files[0], &mut || usize::MAX) {
            let Some(record) = record(&item) else {
                continue;
            };
            read += 1;
            if record.flags.ambiguous || record.flags.ambiguous_text {
                continue;
            }
            let of_record = (
                record.process_id,
                record.message.clone(),
                record.detail.clone(),
                record.context.clone(),
            );
            assert!(
                whole.binary_search(&of_record).is_ok(),
                "{name} at {}: {} {:?}",
                record.position.offset_bytes,
                &record.message[record.message.len().saturating_sub(500)..],
                record.context,
            );
        }
        assert!(read <= whole.len());
    }
}
