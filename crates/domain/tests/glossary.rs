//! The glossary and the sources agree: what it calls built is there under its Chinese word, the rest is not there.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of `docs/GLOSSARY.md`.
struct Row {
    terms: Vec<String>,
    names: Vec<String>,
    is_built: bool,
}

/// Something that the sources declare, with the first line of its documentation and of its module's.
struct Declared {
    name: String,
    is_type: bool,
    first_line: String,
    module_line: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/GLOSSARY.md")).unwrap();
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    let rows = lines.map(cells).filter(|cells| cells[0] != "Chinese").map(|cells| {
        let [terms, names, meaning, built] = cells.as_slice() else { panic!("not four cells: {cells:?}") };
        assert!(meaning.ends_with('.'), "{terms} is not told in a sentence");
        let is_built = match built.as_str() {
            "yes" => true,
            "not yet" => false,
            other => panic!("{terms} is built {other:?}"),
        };
        let names = names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        Row { terms: terms.split(" / ").map(str::to_owned).collect(), names, is_built }
    });
    rows.collect()
}

/// Everything that the rooms' sources document.
fn declared() -> Vec<Declared> {
    let mut files = Vec::new();
    for room in fs::read_dir(root().join("crates")).unwrap() {
        collect(&room.unwrap().path().join("src"), &mut files);
    }
    files.iter().flat_map(|file| documented(&fs::read_to_string(file).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Each `///` block with the name in the first line of code behind it.
fn documented(source: &str) -> Vec<Declared> {
    let module_line = source.lines().next().filter(|line| line.starts_with("//!")).unwrap_or_default();
    let mut declared = Vec::new();
    let mut first_line = None;
    let mut in_attribute = false;
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            first_line.get_or_insert_with(|| text.trim().to_owned());
        } else if in_attribute || line.starts_with("#[") {
            in_attribute = !line.ends_with(']');
        } else {
            let words: Vec<_> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let keyword = words.iter().position(|word| ["struct", "enum", "trait", "fn"].contains(word));
            let name = keyword.map_or(words.first(), |place| words.get(place + 1));
            let is_type = keyword.is_some_and(|place| words[place] != "fn");
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                let first_line = first_line.take().unwrap_or_default();
                let (name, module_line) = ((*name).to_owned(), module_line.to_owned());
                declared.push(Declared { name, is_type, first_line, module_line });
            }
            first_line = None;
        }
    }
    declared
}

#[test]
fn what_the_glossary_calls_built_stands_in_the_sources_under_its_chinese_word() {
    let declared = declared();
    for row in rows().iter().filter(|row| row.is_built) {
        for name in &row.names {
            let last = name.rsplit("::").next().unwrap();
            let found: Vec<_> = declared.iter().filter(|one| one.name == last).collect();
            assert!(!found.is_empty(), "{name} is called built, but no source declares it");
            let tells = |one: &&&Declared| {
                let has = |term: &String| {
                    one.first_line.contains(term) || (one.is_type && one.module_line.contains(term))
                };
                row.terms.iter().any(has)
            };
            let told = found.iter().find(tells);
            assert!(
                told.is_some(),
                "the first doc line of {name} or its module has not {}",
                row.terms.join(" or ")
            );
        }
    }
}

#[test]
fn what_the_glossary_calls_not_yet_built_is_not_there() {
    let types: BTreeSet<_> = declared().into_iter().filter(|one| one.is_type).map(|one| one.name).collect();
    for row in rows().iter().filter(|row| !row.is_built) {
        for name in &row.names {
            assert!(!types.contains(name), "{name} is built by now: say so in docs/GLOSSARY.md");
        }
    }
}

#[test]
fn no_word_and_no_name_has_two_meanings() {
    let rows = rows();
    let mut names = BTreeSet::new();
    let mut terms = BTreeSet::new();
    for row in &rows {
        row.names.iter().for_each(|name| assert!(names.insert(name), "{name} stands in two rows"));
        row.terms.iter().for_each(|term| assert!(terms.insert(term), "{term} stands in two rows"));
    }
    assert!(rows.len() > 50, "the glossary was not read");
}
