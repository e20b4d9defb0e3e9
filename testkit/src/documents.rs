//! The project's documents, read as a reader does: chapters, blocks of code, commands.

use std::path::Path;

use crate::tools;

/// A block of code in a document.
#[derive(Clone, Debug)]
pub struct Block {
    /// The path of the document, such as `docs/CACHE.md`.
    pub file: String,
    /// The title of its chapter (`##`); empty before the first.
    pub chapter: String,
    /// The language behind the backquotes that begin it.
    pub language: String,
    /// The lines, without their common indentation.
    pub text: String,
}

/// All documents that people read: their paths, and their texts.
pub fn documents() -> Vec<(String, String)> {
    let mut files = vec![
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "deploy/README.md",
    ];
    files.push("benches/RESULTS.md");
    let mut files: Vec<_> = files.into_iter().map(str::to_owned).collect();
    let docs = std::fs::read_dir(tools::root().join("docs")).expect("docs/");
    let docs = docs.flatten().map(|entry| entry.path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let name = |path: &Path| Some(format!("docs/{}", path.file_name()?.to_str()?));
    files.extend(docs.filter_map(|path| name(&path)));
    files.sort();
    let text = |file: &String| std::fs::read_to_string(tools::root().join(file));
    let texts = files.iter().map(|file| text(file).expect("a document"));
    let texts: Vec<_> = texts.collect();
    files.into_iter().zip(texts).collect()
}

/// All blocks of code in all documents.
pub fn blocks() -> Vec<Block> {
    let documents = documents();
    let blocks = documents.iter().map(|(file, text)| blocks_of(file, text));
    blocks.flatten().collect()
}

/// The one block of a document in this language that begins with this text.
pub fn block(file: &str, language: &str, begin: &str) -> Block {
    let is_it = |block: &Block| {
        block.file == file && block.language == language && block.text.starts_with(begin)
    };
    let mut found: Vec<_> = blocks().into_iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{file}: {language} blocks with `{begin}`");
    found.remove(0)
}

/// The blocks of a document.
fn blocks_of(file: &str, document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut chapter = String::new();
    let mut open: Option<(Block, &str)> = None;
    for line in document.lines() {
        let bare = line.trim_start();
        match open.take() {
            Some((block, _)) if bare == "```" => blocks.push(block),
            Some((mut block, indent)) => {
                block.text += line.strip_prefix(indent).unwrap_or(bare);
                block.text.push('\n');
                open = Some((block, indent));
            }
            None => {
                if let Some(title) = line.strip_prefix("## ") {
                    chapter = title.to_owned();
                }
                if let Some(language) = bare.strip_prefix("```") {
                    let block = Block {
                        file: file.to_owned(),
                        chapter: chapter.clone(),
                        language: language.to_owned(),
                        text: String::new(),
                    };
                    open = Some((block, &line[..line.len() - bare.len()]));
                }
            }
        }
    }
    assert!(open.is_none(), "{file}: a block has no end");
    blocks
}

/// The words of a shell or for the reader that may follow a command.
const OF_SHELLS: [&str; 7] = ["<", ">", "|", "||", "&", "\\", "…"];

/// All commands of a program in the documents: the document, and the words after the program.
/// The commands are in blocks of code, or between backquotes.
pub fn commands(program: &str) -> Vec<(String, Vec<String>)> {
    let mut commands = Vec::new();
    for (file, document) in documents() {
        let blocks = blocks_of(&file, &document);
        let in_blocks = blocks.iter().flat_map(|block| block.text.lines());
        // A line may end between backquotes.
        let plain = document.replace('\n', " ");
        let in_text = plain.split('`').skip(1).step_by(2);
        for text in in_blocks.chain(in_text) {
            let text = text.split('#').next().unwrap_or_default();
            if let Some(rest) = text.trim().strip_prefix(program)
                && rest.is_empty() | rest.starts_with(' ')
            {
                let words = rest.split_whitespace();
                let words = words.take_while(|word| !OF_SHELLS.contains(word));
                commands.push((file.clone(), words.map(str::to_owned).collect()));
            }
        }
    }
    commands
}

/// Fails if a document names a command of a program that its parser does not know. `parse` is given
/// the program and its arguments; it returns the kind of the error, by clap's name, and its text.
pub fn check_commands(program: &str, parse: impl Fn(&[&str]) -> Option<(String, String)>) {
    const WRONG: [&str; 3] = ["UnknownArgument", "InvalidSubcommand", "InvalidValue"];
    let commands = commands(program);
    assert!(commands.len() > 20, "{commands:?}");
    for (file, words) in commands {
        let arguments = words.iter().map(String::as_str);
        let arguments: Vec<_> = std::iter::once(program).chain(arguments).collect();
        if let Some((kind, text)) = parse(&arguments) {
            // A text may name a command or a flag without what it needs.
            let is_short = text.contains("none was supplied");
            let is_wrong = WRONG.contains(&kind.as_str()) && !is_short;
            assert!(!is_wrong, "{file}: {arguments:?}: {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_chapters() {
        let document = "```sh\none\n```\n## A\n\n1. x\n   ```json\n   {\n     1}\n   ```\n";
        let blocks = blocks_of("a.md", document);
        let shown: Vec<_> = blocks
            .iter()
            .map(|block| {
                let (chapter, language) = (block.chapter.as_str(), block.language.as_str());
                (chapter, language, block.text.as_str())
            })
            .collect();
        assert_eq!(shown, [("", "sh", "one\n"), ("A", "json", "{\n  1}\n")]);
    }

    #[test]
    fn commands_are_found_in_texts_and_blocks() {
        let found = commands("cargo xtask");
        let words: Vec<_> = found.iter().map(|(_, words)| words.join(" ")).collect();
        assert!(words.iter().any(|words| words == "demo"), "{words:?}");
        assert!(words.len() > 10, "{words:?}");
    }
}
