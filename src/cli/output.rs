//! Standard output, and the last word on stderr: the only place that prints. A reader that has gone away (a closed pipe) is no failure.

use std::io::{self, Write};

/// Prints `text` and a newline.
pub(super) fn line(text: &str) -> io::Result<()> {
    line_of_many(text).map(|_| ())
}

/// The same, and whether anybody still reads.
pub(super) fn line_of_many(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Says on stderr why a command has failed, with what caused it.
pub(super) fn error(error: &dyn std::error::Error) {
    let mut text = format!("plantail: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // Where stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
