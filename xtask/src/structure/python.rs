//! A reader of Python that finds functions and their lengths.

use super::source::Function;

/// The functions of a file, including methods.
pub fn functions(text: &str) -> Vec<Function> {
    let statements = statements(text);
    let mut functions = Vec::new();
    for (index, statement) in statements.iter().enumerate() {
        let words = statement.text.trim_start_matches("async ");
        let Some(signature) = words.strip_prefix("def ") else {
            continue;
        };
        let inner = statements[index + 1..]
            .iter()
            .take_while(|inner| inner.indentation > statement.indentation);
        let last = inner.last().unwrap_or(statement).last;
        functions.push(Function {
            name: signature.split('(').next().unwrap_or_default().to_owned(),
            line: statement.first,
            length: 1 + last - statement.first,
        });
    }
    functions
}

/// A statement, which may have several lines.
struct Statement<'a> {
    text: &'a str,
    indentation: usize,
    /// The numbers of its first line, from 1, and of its last.
    first: usize,
    last: usize,
}

fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut statements: Vec<Statement> = Vec::new();
    let mut state = State::default();
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if !state.is_open() && !content.is_empty() && !content.starts_with('#') {
            statements.push(Statement {
                text: content,
                indentation: line.len() - line.trim_start().len(),
                first: index + 1,
                last: index + 1,
            });
        } else if let (true, Some(open)) = (state.is_open(), statements.last_mut()) {
            open.last = index + 1;
        }
        state.read(line);
    }
    statements
}

/// The constructs that are open at the end of a line.
#[derive(Default)]
struct State {
    brackets: usize,
    /// The quotes of an open string.
    string: Option<&'static str>,
    /// Whether the line ends with a backslash.
    continued: bool,
}

impl State {
    fn is_open(&self) -> bool {
        self.brackets > 0 || self.string.is_some() || self.continued
    }

    fn read(&mut self, line: &str) {
        let mut rest = line;
        self.continued = false;
        while let Some(next) = rest.chars().next() {
            let mut length = next.len_utf8();
            if next == '\\' {
                let escaped = rest[length..].chars().next();
                self.continued = escaped.is_none();
                length += escaped.map_or(0, char::len_utf8);
            } else if let Some(end) = self.string {
                if rest.starts_with(end) {
                    (self.string, length) = (None, end.len());
                }
            } else if next == '#' {
                break;
            } else if let Some(quotes) = QUOTES.into_iter().find(|quotes| rest.starts_with(*quotes))
            {
                (self.string, length) = (Some(quotes), quotes.len());
            } else if "([{".contains(next) {
                self.brackets += 1;
            } else if ")]}".contains(next) {
                self.brackets = self.brackets.saturating_sub(1);
            }
            rest = &rest[length..];
        }
        // A string with single quotes ends with its line.
        if self.string.is_some_and(|quotes| quotes.len() == 1) && !self.continued {
            self.string = None;
        }
    }
}

/// The quotes of strings, the longer ones first.
const QUOTES: [&str; 4] = ["\"\"\"", "'''", "\"", "'"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_reaches_to_its_last_statement() {
        let text = "\
def one(\n    a,\n):\n    text = '''\ndef not_one():\n'''  # (\n    return text\n\n\
class A:\n    async def two(self):  # comment\n        call('(', \"\\\"(\",\n    1)\n\n    x = 1\n";
        let functions = functions(text);
        let found: Vec<_> = functions
            .iter()
            .map(|function| (function.name.as_str(), function.line, function.length))
            .collect();
        assert_eq!(found, [("one", 1, 7), ("two", 10, 3)]);
    }
}
