//! A reader of Rust that finds lines of code, functions and tests.

use super::source::Function;

/// The text with blank comments, and with strings whose bytes are all `"`. Lines keep their
/// numbers.
pub fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_word = false;
    while let Some(next) = rest.chars().next() {
        let (length, fill) = match piece(rest, in_word) {
            Piece::Code => (next.len_utf8(), None),
            Piece::Comment(length) => (length, Some(' ')),
            Piece::Literal(length) => (length, Some('"')),
        };
        let (taken, others) = rest.split_at(length.min(rest.len()));
        match fill {
            None => masked.push(next),
            Some(fill) => masked.extend(taken.bytes().map(|byte| match byte {
                b'\n' => '\n',
                _ => fill,
            })),
        }
        in_word = fill.is_none() && is_of_word(next);
        rest = others;
    }
    masked
}

/// The kind of a text's first part.
enum Piece {
    Code,
    Comment(usize),
    Literal(usize),
}

fn piece(rest: &str, in_word: bool) -> Piece {
    if rest.starts_with("//") {
        return Piece::Comment(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Piece::Comment(block_comment(rest));
    }
    // The prefixes of strings: `b"…"`, `c"…"`, `r#"…"#`, `br"…"`.
    let prefix = match in_word {
        true => 0,
        false => rest.find(|letter| !"bcr".contains(letter)).unwrap_or(0),
    };
    let (prefix, after) = rest.split_at(prefix.min(2));
    let hashes = after.len() - after.trim_start_matches('#').len();
    let is_raw = prefix.ends_with('r');
    if after[hashes..].starts_with('"') && (is_raw || hashes == 0) {
        let begin = prefix.len() + hashes + 1;
        return Piece::Literal(begin + string(&rest[begin..], is_raw.then_some(hashes)));
    }
    match character(rest) {
        Some(length) => Piece::Literal(length),
        None => Piece::Code,
    }
}

/// The length of a block comment, which may contain others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        at += if rest.starts_with(b"/*") {
            depth += 1;
            2
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string's content and its end; `raw` is the number of its hashes.
fn string(text: &str, raw: Option<usize>) -> usize {
    if let Some(hashes) = raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return text.find(&end).map_or(text.len(), |at| at + end.len());
    }
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return at + 1,
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    text.len()
}

/// The length of a character such as `'x'`; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let content = text.strip_prefix('\'')?;
    let mut letters = content.char_indices();
    let (_, first) = letters.next()?;
    if first == '\\' {
        // The escaped letter may be a quote.
        let after = 1 + letters.next()?.1.len_utf8();
        return Some(1 + after + content[after..].find('\'')? + 1);
    }
    let (at, second) = letters.next()?;
    (second == '\'').then_some(1 + at + 1)
}

/// The functions that have a body.
pub fn functions(masked: &str) -> Vec<Function> {
    let functions = words(masked, "fn").filter_map(|at| {
        let name: String = masked[at + 2..]
            .trim_start()
            .chars()
            .take_while(|letter| is_of_word(*letter))
            .collect();
        let body = body(masked, at)?;
        // `fn(u8)` is a type.
        (!name.is_empty()).then(|| Function {
            name,
            line: line_of(masked, at),
            length: 1 + line_of(masked, closing(masked, body)) - line_of(masked, at),
        })
    });
    functions.collect()
}

/// The start of a function's body; `None` if it has none.
fn body(masked: &str, from: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in masked[from..].char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(from + at),
            ';' if depth == 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

/// The end of the bracket that begins here.
fn closing(masked: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, letter) in masked[from..].char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return from + at;
        }
    }
    masked.len()
}

/// A file without its tests.
#[derive(Debug)]
pub struct Untested {
    /// The masked text; modules under `#[cfg(test)]` are blank.
    pub text: String,
    /// The names of modules under `#[cfg(test)]` that are files.
    pub test_files: Vec<String>,
}

/// Removes the tests from a file.
pub fn without_tests(masked: &str) -> Untested {
    const TEST: &str = "#[cfg(test)]";
    let mut untested = Untested {
        text: String::with_capacity(masked.len()),
        test_files: Vec::new(),
    };
    let mut done = 0;
    for (begin, _) in masked.match_indices(TEST) {
        let Some((name, at)) = module_after(masked, begin + TEST.len()) else {
            continue;
        };
        if begin < done {
            continue;
        }
        let end = match masked[at..].starts_with('{') {
            true => closing(masked, at),
            false => {
                untested.test_files.push(name);
                at
            }
        };
        untested.text.push_str(&masked[done..begin]);
        let module = masked[begin..end].chars().filter(|letter| *letter == '\n');
        untested.text.extend(module);
        done = end + 1;
    }
    untested
        .text
        .push_str(masked.get(done..).unwrap_or_default());
    untested
}

/// The name of a module whose other attributes begin here, and the place of its `{` or `;`.
fn module_after(masked: &str, mut at: usize) -> Option<(String, usize)> {
    let skip_blanks = |at: usize| masked.len() - masked[at..].trim_start().len();
    at = skip_blanks(at);
    while masked[at..].starts_with("#[") {
        at = skip_blanks(closing(masked, at + 1) + 1);
    }
    let end = at + masked[at..].find(['{', ';'])?;
    let mut declared = masked[at..end].split_whitespace();
    let name = declared.next_back()?;
    (declared.next_back() == Some("mod")).then(|| (name.to_owned(), end))
}

/// The number of lines with code.
pub fn code_lines(masked: &str) -> usize {
    masked
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count()
}

/// The places of a word.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let places = text.match_indices(word);
    places.map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(is_of_word)
    })
}

/// Whether a letter may be part of a name.
pub fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_masked() {
        for (text, want) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"a\\\"b\", c)", "f(\"\"\"\"\"\", c)"),
            ("br#\"a\"b\"# c", "\"\"\"\"\"\"\"\"\" c"),
            ("'a' 'b: '\\'' '{'", "\"\"\" 'b: \"\"\"\" \"\"\""),
            ("\"// no\" // yes", "\"\"\"\"\"\"\"       "),
            ("for x in r#type", "for x in r#type"),
            ("\"a\nb\"", "\"\"\n\"\""),
        ] {
            assert_eq!(masked(text), want, "{text}");
        }
    }

    #[test]
    fn a_function_reaches_from_its_signature_to_its_brace() {
        let text = "\
            trait T { fn without(&self) -> [u8; 4]; }\n\
            /// Not fn comment() {}.\n\
            pub fn one(of: fn(u8) -> u8)\n\
            where\n    u8: Copy,\n\
            {\n    let text = \"}\";\n    fn inner() {}\n}\n";
        let found = functions(&masked(text));
        let found: Vec<_> = found
            .iter()
            .map(|function| (function.name.as_str(), function.line, function.length))
            .collect();
        assert_eq!(found, [("one", 3, 7), ("inner", 8, 1)]);
    }

    #[test]
    fn tests_are_not_counted() {
        let text = "\
            //! Comment.\n\nuse a;\n\
            #[cfg(test)]\nmod files;\n\
            #[cfg(not(test))]\nfn kept() {}\n\
            #[cfg(test)]\n#[allow(clippy::panic, reason = \"]\")]\nmod tests {\n    \
            fn a() {}\n    #[cfg(test)]\n    mod inner {}\n}\nfn last() {} // end\n";
        let untested = without_tests(&masked(text));
        assert_eq!(untested.test_files, ["files"]);
        assert_eq!(code_lines(&untested.text), 4, "{}", untested.text);
    }
}
