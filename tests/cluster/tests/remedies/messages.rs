//! What the extension can say to a user, by its source: so that what no test provokes is found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A text by which a user is told what is wrong, or what to do.
#[derive(Debug)]
pub struct Message {
    /// Its file and line.
    pub place: String,
    /// The text, with `{…}` for what is filled in.
    pub text: String,
    /// What stands between the places that are filled in.
    parts: Vec<String>,
    /// Whether it is of a finding of `health()`, or of a HINT with a statement.
    pub is_to_be_mended: bool,
}

impl Message {
    /// Whether this was said to anybody.
    pub fn is_in(&self, said: &BTreeSet<String>) -> bool {
        said.iter().any(|said| {
            let mut rest = said.as_str();
            self.parts.iter().all(|part| match rest.find(part.as_str()) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        })
    }
}

/// The files of which each text counts: findings, their remedies, and what several hints say. The sentence before a remedy
/// is not shown.
const OF_FINDINGS: [&str; 6] = [
    "admin/health.rs",
    "admin/health_own_tables.rs",
    "admin/health_privileges.rs",
    "catalog/hints.rs",
    "catalog/related.rs",
    "catalog/triggers.rs",
];

/// The calls whose arguments are texts for users, and whether they come with a statement.
const CALLS: [(&[&str], bool); 5] = [
    (&["Hint", "run"], true),
    (&["attach_with"], true),
    (&["Hint", "advice"], false),
    (&["GuardError", "new"], false),
    (&["detail"], false),
];

/// The variables that such texts are in.
const VARIABLES: [(&str, bool); 2] = [("sentence", true), ("message", false)];

/// Each message of the sources in a folder.
///
/// # Panics
/// If a file cannot be read.
pub fn messages(source: &Path) -> Vec<Message> {
    let mut messages = Vec::new();
    for path in files(source) {
        let name = path.strip_prefix(source).expect("a file in the folder").display().to_string();
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let tokens = tokens(code);
        let mut add = |range: &[(Token, usize)], is_to_be_mended: bool| {
            for (token, line) in range {
                let Token::Text(text) = token else { continue };
                if is_prose(text) {
                    messages.push(Message {
                        place: format!("{name}:{line}"),
                        text: text.clone(),
                        parts: fixed_parts(text),
                        is_to_be_mended: is_to_be_mended || has_statement(text),
                    });
                }
            }
        };
        if OF_FINDINGS.contains(&name.as_str()) {
            let is_shown = |token: &Token| match token {
                Token::Text(text) => !text.ends_with(" run") && !text.ends_with(" by"),
                _ => false,
            };
            let shown: Vec<_> = tokens.into_iter().filter(|(token, _)| is_shown(token)).collect();
            add(&shown, true);
            continue;
        }
        for at in 0..tokens.len() {
            for (path, is_to_be_mended) in CALLS {
                if let Some(open) = call_of(&tokens, at, path) {
                    add(until(&tokens[open..], ')'), is_to_be_mended);
                }
            }
            for (variable, is_to_be_mended) in VARIABLES {
                if begin_with(&tokens[at..], &["let", variable, "="]) {
                    add(until(&tokens[at + 3..], ';'), is_to_be_mended);
                }
            }
        }
    }
    messages
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the source").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

/// Whether people read it: not a name, nor SQL that the library runs itself.
fn is_prose(text: &str) -> bool {
    let is_own_sql = text.contains('\n')
        || text.contains("$1")
        || text.contains("pg_catalog.") && !text.ends_with(';');
    let has_words = text.split_whitespace().count() > 1 && text.chars().any(char::is_alphabetic);
    has_words && !is_own_sql
}

fn has_statement(text: &str) -> bool {
    STATEMENTS.iter().any(|statement| text.contains(&format!("{statement} ")))
}

/// What statements of hints begin with.
pub const STATEMENTS: [&str; 10] =
    ["ALTER", "CLOSE", "CREATE", "DROP", "GRANT", "REINDEX", "REVOKE", "SELECT", "SET", "UPDATE"];

/// The texts between the places that are filled in.
fn fixed_parts(text: &str) -> Vec<String> {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let parts = text.split('{').enumerate().map(|(number, part)| match number {
        0 => part,
        _ => part.split_once('}').map_or("", |(_, rest)| rest),
    });
    let parts = parts.map(|part| part.replace('\u{1}', "{").replace('\u{2}', "}"));
    parts.filter(|part| !part.is_empty()).collect()
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
    Text(String),
}

/// Whether tokens are these words and signs.
fn are(tokens: &[(Token, usize)], words: &[&str]) -> bool {
    tokens.len() == words.len()
        && tokens.iter().zip(words).all(|((token, _), word)| match token {
            Token::Word(text) => text == word,
            Token::Sign(sign) => word.chars().eq([*sign]),
            Token::Text(_) => false,
        })
}

fn begin_with(tokens: &[(Token, usize)], words: &[&str]) -> bool {
    tokens.get(..words.len()).is_some_and(|tokens| are(tokens, words))
}

/// Where the arguments of a call begin, if there is one.
fn call_of(tokens: &[(Token, usize)], at: usize, path: &[&str]) -> Option<usize> {
    let mut words: Vec<&str> = Vec::new();
    for part in path {
        if !words.is_empty() {
            words.extend([":", ":"]);
        }
        words.push(part);
    }
    words.push("(");
    begin_with(&tokens[at..], &words).then_some(at + words.len())
}

/// The tokens before the sign that ends what has begun.
fn until(tokens: &[(Token, usize)], end: char) -> &[(Token, usize)] {
    let mut depth = 0;
    let length = tokens.iter().position(|(token, _)| match token {
        Token::Sign(sign) if *sign == end && depth == 0 => true,
        Token::Sign('(' | '[' | '{') => {
            depth += 1;
            false
        }
        Token::Sign(')' | ']' | '}') => {
            depth -= 1;
            false
        }
        _ => false,
    });
    &tokens[..length.unwrap_or(tokens.len())]
}

/// The tokens, each with its line; without comments, characters, and texts that are no `&str`.
fn tokens(source: &str) -> Vec<(Token, usize)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let (token, length) = if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if first == '"' {
            let length = length_of_text(rest);
            (Some(Token::Text(unescaped(&rest[1..length - 1]))), length)
        } else if first == '\'' {
            (None, length_of_character(rest))
        } else if is_of_word(first) {
            let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            match &rest[..length] {
                "b" | "c" if rest[length..].starts_with('"') => {
                    (None, length + length_of_text(&rest[length..]))
                }
                word => (Some(Token::Word(word.to_owned())), length),
            }
        } else {
            let sign = (!first.is_whitespace()).then_some(Token::Sign(first));
            (sign, first.len_utf8())
        };
        // The reason of an attribute is for those who read the source.
        let is_reason = are(&tokens[tokens.len().saturating_sub(2)..], &["reason", "="]);
        tokens.extend(token.filter(|_| !is_reason).map(|token| (token, line)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// From the first quote to the last.
fn length_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text[1..].find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    end.expect("the end of a text") + 2
}

/// Of a character, or of the quote of a lifetime.
fn length_of_character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    let first = characters.next().map(|(_, c)| c);
    let second = characters.next();
    match (first, second) {
        (Some('\\'), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            after + text[after..].find('\'').expect("the end of a character") + 1
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn unescaped(text: &str) -> String {
    let mut unescaped = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('\n')) => while characters.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some('n')) => {
                characters.next();
                unescaped.push('\n');
            }
            ('\\', Some(_)) => unescaped.extend(characters.next()),
            _ => unescaped.push(character),
        }
    }
    unescaped
}
