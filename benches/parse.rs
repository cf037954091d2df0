//! From log bytes to executions, on the first 16 MB of the corpus' seed log: how much each stage costs. Skips with a message where the corpus is absent.
//!
//! `cargo bench --bench parse`; throughput is bytes of log per second of one core.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a benchmark that cannot run says so and has nothing to report"
)]

use std::{fs::File, hint::black_box, io::Read, path::Path};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use plantail::{
    execution::{Events, Pairing},
    model::{
        position::{GenerationId, ServerId},
        record::LogRecord,
    },
    record::{self, Assembled, Assembler, Format, Layout, LinePrefix},
};

const BYTES: u64 = 16 << 20;
/// log_line_prefix that the seed log was written with.
const PREFIX: &str = "%m [%p] %q%u@%d ";

fn seed() -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/big/seed.log.zst");
    let file = File::open(path).ok()?;
    let mut log = Vec::new();
    zstd::Decoder::new(file)
        .unwrap()
        .take(BYTES)
        .read_to_end(&mut log)
        .unwrap();
    let whole_lines = log.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    log.truncate(whole_lines);
    Some(log)
}

fn assemble(log: &[u8]) -> Vec<LogRecord> {
    let layout = Layout {
        format: Format::Stderr(LinePrefix::parse(PREFIX).unwrap()),
        time_zone: None,
    };
    let mut assembler = Assembler::new(layout, GenerationId(1), 0, &record::Config::default());
    let mut records = Vec::new();
    let mut sink = |assembled| {
        if let Assembled::Record(record) = assembled {
            records.push(*record);
        }
    };
    assembler.push(log, Timestamp::UNIX_EPOCH, &mut sink);
    assembler.finish(&mut sink);
    records
}

fn pair(records: &[LogRecord]) -> Events {
    let mut pairing = Pairing::new(ServerId(1));
    let mut events = Events::default();
    for record in records {
        pairing.push(record, &mut events);
    }
    pairing.finish(&mut events);
    events
}

fn parse(criterion: &mut Criterion) {
    let Some(log) = seed() else {
        eprintln!("skipped: ../shared/corpus/big/seed.log.zst is absent");
        return;
    };
    let records = assemble(&log);
    let mut group = criterion.benchmark_group("seed log");
    group
        .throughput(Throughput::Bytes(log.len() as u64))
        .sample_size(10);
    group.bench_function("bytes to records", |bencher| {
        bencher.iter(|| assemble(black_box(&log)))
    });
    group.bench_function("records to executions", |bencher| {
        bencher.iter(|| pair(black_box(&records)))
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
