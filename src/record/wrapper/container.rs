//! Lines of container logs: Docker's json-file driver, and the files that the kubelet keeps (Kubernetes, "Logging Architecture"; CRI log format).
//!
//! A physical line comes in, a piece of a stream goes out. Both runtimes cut lines of more than 16 kB.

use std::borrow::Cow;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::combinator::{rest, value};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::super::text;
use super::clock::{self, Printed};
use super::{Piece, Stream, Unwrapped};

#[derive(serde::Deserialize)]
struct Docker {
    log: String,
    stream: String,
    time: String,
}

/// `{"log":"text\n","stream":"stderr","time":"2026-11-20T10:00:00.123456789Z"}`, the line break in the last piece of a line only.
pub(super) fn docker(line: &[u8]) -> Unwrapped<Piece<'_>> {
    let (json, _) = text::text(line);
    let Ok(docker) = serde_json::from_str::<Docker>(&json) else {
        return Unwrapped::NotWrapped;
    };
    let stream = match docker.stream.as_str() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return Unwrapped::NotWrapped,
    };
    let Some(time) = clock::timestamp(&docker.time) else {
        return Unwrapped::NotWrapped;
    };
    let mut text = docker.log.into_bytes();
    let ends_line = text.last() == Some(&b'\n');
    if ends_line {
        text.pop();
    }
    Unwrapped::Text(Piece {
        time,
        stream,
        text: Cow::Owned(text),
        ends_line,
    })
}

/// A line of the kubelet's files.
pub(super) fn cri(line: &[u8]) -> Unwrapped<Piece<'_>> {
    match cri_line(line) {
        Ok((_, piece)) => Unwrapped::Text(piece),
        Err(_) => Unwrapped::NotWrapped,
    }
}

/// `time SP ( "stdout" / "stderr" ) SP ( "P" / "F" ) *( ":" tag ) SP text`
fn cri_line(input: &[u8]) -> IResult<&[u8], Piece<'_>> {
    let stream = alt((
        value(Stream::Stdout, tag("stdout ")),
        value(Stream::Stderr, tag("stderr ")),
    ));
    let tags = preceded(
        nom::combinator::opt(preceded(tag(":"), take_till(|b| b == b' '))),
        alt((tag(" "), nom::combinator::eof)),
    );
    let ends_line = terminated(alt((value(true, tag("F")), value(false, tag("P")))), tags);
    let (rest, (time, stream, ends_line, text)) =
        (clock::rfc3339, stream, ends_line, rest).parse(input)?;
    let Printed::Whole(time) = time else {
        return Err(nom::Err::Error(nom::error::Error::new(
            input,
            nom::error::ErrorKind::Verify,
        )));
    };
    let piece = Piece {
        time,
        stream,
        text: Cow::Borrowed(text),
        ends_line,
    };
    Ok((rest, piece))
}
