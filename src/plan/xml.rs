//! auto_explain.log_format = xml: the small part of XML that EXPLAIN writes.
//!
//! Elements without attributes, five entities and character references come in; a value with EXPLAIN's keys goes out. XML writes a key's
//! blanks and slashes as hyphens, calls some groups by their kind instead of their key, and has no types: [`keys`] knows them.
//! Nothing else of XML is known: no declarations, comments or entities of one's own, so nothing expands.

use std::borrow::Cow;

use super::{
    Error, MAX_DEPTH, keys,
    value::{Json, Object},
};

/// An element whose end hasn't been seen.
struct Open<'a> {
    tag: &'a str,
    /// Text before its first child.
    text: &'a str,
    /// Elements in it, by their tags.
    children: Vec<(&'a str, Json<'a>)>,
}

/// Reads `<explain xmlns="…"> <Query-Text>…</Query-Text> <Query-Parameters>… <Plan>… <Settings>… <Query-Identifier>… <Triggers>… <JIT>…
/// </explain>`.
pub(super) fn parse(body: &str) -> Result<Json<'_>, Error> {
    let body = body.trim_ascii();
    if !body.chars().all(is_xml) {
        return Err(Error::Xml);
    }
    let mut rest = body
        .strip_prefix("<explain")
        .and_then(|rest| rest.split_once('>'))
        .map(|(_attributes, rest)| rest)
        .ok_or(Error::Xml)?;
    let mut open = vec![Open {
        tag: "explain",
        text: "",
        children: Vec::new(),
    }];
    loop {
        let (text, after) = rest.split_once('<').ok_or(Error::Xml)?;
        let (tag, after) = after.split_once('>').ok_or(Error::Xml)?;
        let top = open.last_mut().ok_or(Error::Xml)?;
        if top.children.is_empty() {
            top.text = text;
        } else if !text.trim_ascii().is_empty() {
            return Err(Error::Xml);
        }
        if let Some(ended) = tag.strip_prefix('/') {
            let closed = open.pop().filter(|top| top.tag == ended);
            let closed = closed.ok_or(Error::Xml)?;
            let tag = closed.tag;
            let value = value(closed)?;
            match open.last_mut() {
                Some(around) => around.children.push((tag, value)),
                None if after.is_empty() => return Ok(value),
                None => return Err(Error::Xml),
            }
        } else if !tag.is_empty() && tag.bytes().all(is_tag) && top.text.trim_ascii().is_empty() {
            if open.len() >= MAX_DEPTH {
                return Err(Error::TooDeep);
            }
            open.push(Open {
                tag,
                text: "",
                children: Vec::new(),
            });
        } else {
            return Err(Error::Xml);
        }
        rest = after;
    }
}

/// `Char` of XML 1.0, section 2.2. `char` is none of the surrogates.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// The characters that EXPLAIN leaves in a tag; it writes every other as a hyphen.
fn is_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn value(element: Open<'_>) -> Result<Json<'_>, Error> {
    let Open {
        tag,
        text,
        children,
    } = element;
    if children.is_empty() {
        let key = key(tag);
        let blank = text.trim_ascii().is_empty();
        return Ok(match unescape(text)? {
            _ if blank && keys::is_list(&key) => Json::List(Vec::new()),
            _ if blank && key == "Settings" => Json::Object(Object::default()),
            Cow::Borrowed(text) if keys::is_scalar(&key) => Json::scalar(text),
            text => Json::Text(text),
        });
    }
    // <Output> <Item>…, <Plans> <Plan>…, <Group-Keys> <Group-Key>…
    let names_its_items =
        |child: &str| child == "Item" || tag.strip_suffix('s').is_some_and(|one| one == child);
    if children.iter().all(|(child, _)| names_its_items(child)) {
        return Ok(Json::List(
            children.into_iter().map(|(_, value)| value).collect(),
        ));
    }
    let mut object = Object::default();
    let external = all_external(&children);
    let (mut sort_groups, mut sort_spaces) = (0, 0);
    for (child, value) in children {
        let key = match child {
            _ if tag == "Settings" => child.into(),
            "Incremental-Sort-Groups" => {
                sort_groups += 1;
                match sort_groups {
                    1 => "Full-sort Groups".into(),
                    _ => "Pre-sorted Groups".into(),
                }
            }
            "Sort-Space" => {
                sort_spaces += 1;
                match sort_spaces {
                    1 if !external => "Sort Space Memory".into(),
                    _ => "Sort Space Disk".into(),
                }
            }
            _ => key(child),
        };
        object.push(key, value);
    }
    Ok(Json::Object(object))
}

/// Whether every sort of these groups went to disk, so that they have no space in memory.
fn all_external(children: &[(&str, Json<'_>)]) -> bool {
    children.iter().any(|(tag, methods)| match methods {
        Json::List(methods) if *tag == "Sort-Methods-Used" => methods
            .iter()
            .filter_map(Json::as_str)
            .all(|method| method.starts_with("external")),
        _ => false,
    })
}

/// The key that `tag` was made of. Of the keys of EXPLAIN, these alone hold anything but letters and blanks.
fn key(tag: &str) -> Cow<'_, str> {
    if tag == "One-Time-Filter" {
        return "One-Time Filter".into();
    }
    if !tag.contains('-') {
        return tag.into();
    }
    tag.replace('-', " ").replace("I O ", "I/O ").into()
}

/// `text` without entities: `&amp;`, `&lt;`, `&gt;`, `&quot;`, `&apos;`, and characters by number (`&#x0d;` is what PostgreSQL writes).
fn unescape(text: &str) -> Result<Cow<'_, str>, Error> {
    let Some((before, mut rest)) = text.split_once('&') else {
        return Ok(text.into());
    };
    let mut unescaped = before.to_owned();
    loop {
        let (entity, after) = rest.split_once(';').ok_or(Error::Xml)?;
        let number = |digits, radix| u32::from_str_radix(digits, radix).ok();
        let c = match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => entity
                .strip_prefix('#')
                .and_then(|number_of| match number_of.strip_prefix('x') {
                    Some(digits) => number(digits, 16),
                    None => number(number_of, 10),
                })
                .and_then(char::from_u32)
                .filter(|c| is_xml(*c))
                .ok_or(Error::Xml)?,
        };
        unescaped.push(c);
        let Some((text, next)) = after.split_once('&') else {
            unescaped.push_str(after);
            return Ok(unescaped.into());
        };
        unescaped.push_str(text);
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(inner: &str, json: &str) {
        let body = format!(
            "<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n{inner}\n</explain>\n"
        );
        assert_eq!(
            serde_json::to_string(&parse(&body).unwrap()).unwrap(),
            json,
            "{inner}"
        );
    }

    #[test]
    fn keys_and_types() {
        check(
            "  <Query-Text>a &lt; 'b&amp;amp;' &#x0d;\n</Query-Text>\n  <Plan>\n    <Node-Type>Result</Node-Type>\n    <Parallel-Aware>false</Parallel-Aware>\n    \
             <Total-Cost>0.10</Total-Cost>\n    <Alias>12</Alias>\n    <One-Time-Filter>false</One-Time-Filter>\n    <Shared-I-O-Read-Time>1.000</Shared-I-O-Read-Time>\n    \
             <I-O-Read-Time>2.5</I-O-Read-Time>\n    <New-Cond>4711</New-Cond>\n  </Plan>",
            r#"{"Query Text":"a < 'b&amp;' \r\n","Plan":{"Node Type":"Result","Parallel Aware":false,"Total Cost":0.1,"Alias":"12","One-Time Filter":"false","Shared I/O Read Time":1.0,"I/O Read Time":2.5,"New Cond":"4711"}}"#,
        );
    }

    #[test]
    fn lists() {
        check(
            "<Plan><Output><Item>a</Item><Item>&lt;</Item></Output><Grouping-Sets><Grouping-Set><Hash-Keys><Hash-Key><Item>a</Item></Hash-Key></Hash-Keys></Grouping-Set>\
             <Grouping-Set><Group-Keys><Group-Key>\n </Group-Key></Group-Keys></Grouping-Set></Grouping-Sets><Plans><Plan><Node-Type>A</Node-Type></Plan></Plans></Plan>",
            r#"{"Plan":{"Output":["a","<"],"Grouping Sets":[{"Hash Keys":[["a"]]},{"Group Keys":[[]]}],"Plans":[{"Node Type":"A"}]}}"#,
        );
    }

    #[test]
    fn groups_of_an_incremental_sort() {
        let groups = |methods: &str, spaces: usize| {
            format!(
                "<Incremental-Sort-Groups><Sort-Methods-Used>{methods}</Sort-Methods-Used>{}</Incremental-Sort-Groups>",
                "<Sort-Space><Peak-Sort-Space-Used>1</Peak-Sort-Space-Used></Sort-Space>"
                    .repeat(spaces)
            )
        };
        let (quick, merge) = ("<Item>quicksort</Item>", "<Item>external merge</Item>");
        check(
            &format!(
                "<Plan>{}{}</Plan>",
                groups(quick, 1),
                groups(&format!("{quick}{merge}"), 2)
            ),
            r#"{"Plan":{"Full-sort Groups":{"Sort Methods Used":["quicksort"],"Sort Space Memory":{"Peak Sort Space Used":1}},"Pre-sorted Groups":{"Sort Methods Used":["quicksort","external merge"],"Sort Space Memory":{"Peak Sort Space Used":1},"Sort Space Disk":{"Peak Sort Space Used":1}}}}"#,
        );
        check(
            &format!("<Plan>{}</Plan>", groups(merge, 1)),
            r#"{"Plan":{"Full-sort Groups":{"Sort Methods Used":["external merge"],"Sort Space Disk":{"Peak Sort Space Used":1}}}}"#,
        );
    }

    #[test]
    fn settings_keep_their_names_and_empty_groups_their_kind() {
        check(
            "<Settings>\n <a_b.c>1</a_b.c>\n</Settings><Triggers>\n</Triggers>",
            r#"{"Settings":{"a_b.c":"1"},"Triggers":[]}"#,
        );
        check(
            "<Settings>\n</Settings>\n<Plan><Workers> </Workers></Plan>",
            r#"{"Settings":{},"Plan":{"Workers":[]}}"#,
        );
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for body in [
            "<explain><A>1</A>",
            "<explain><A>1</B></explain>",
            "<explain><A>\u{1}</A></explain>",
            "<explain><A>&lol;</A></explain>",
            "<explain><A>&#1;</A></explain>",
            "<explain><A>&amp</A></explain>",
            "<explain><A>a<B>1</B></A></explain>",
            "<explain><A><B>1</B>a</A></explain>",
            "<explain><A b=\"c\">1</A></explain>",
            "<explain></explain><explain></explain>",
            "<explain",
        ] {
            assert!(matches!(parse(body), Err(Error::Xml)), "{body}");
        }
        let deep = format!("<explain>{}", "<A>".repeat(100_000));
        assert!(matches!(parse(&deep), Err(Error::TooDeep)));
    }
}
