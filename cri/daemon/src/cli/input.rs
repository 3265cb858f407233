//! Manifests: files and directories, split into documents that keep their lines.
//!
//! Everything is read and checked before anything is sent: a mistake in the last file changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cofferdam_netpolicy_watch::documents;
use cofferdam_netpolicy_watch::{FileError, parse};
use serde::Deserialize;

use super::error::CliError;
use super::pod::{PodManifest, parse_pod};

/// Where an object stands in the order of `apply`; `delete` goes the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Namespaces and Tenants: what a pod belongs to is known before it runs.
    Owners,
    /// Policies: in force before the pod's first packet.
    Policies,
    /// Pods.
    Pods,
}

/// Everything that was named by `-f`, checked.
#[derive(Debug, Default)]
pub struct Input {
    /// Files with objects of the source directory.
    pub files: Vec<File>,
    /// Pods in order.
    pub pods: Vec<PodManifest>,
}

/// One file.
#[derive(Debug)]
pub struct File {
    /// As the user named it.
    pub name: String,
    documents: Vec<(Step, String)>,
}

#[derive(Deserialize)]
struct Envelope {
    kind: String,
}

impl File {
    /// The file's objects of one step, or `None`; other documents are empty lines, so that line numbers stay true.
    pub fn yaml(&self, step: Step) -> Option<String> {
        let one = |(of, text): &(Step, String)| if *of == step { text.clone() } else { blank(text) };
        let any = self.documents.iter().any(|(of, _)| *of == step);
        any.then(|| self.documents.iter().map(one).collect::<Vec<_>>().join("---\n"))
    }
}

fn blank(text: &str) -> String {
    "\n".repeat(text.matches('\n').count())
}

/// Reads and checks what `-f` names.
///
/// # Errors
/// The first thing that is wrong, with file and line.
pub fn read(names: &[PathBuf]) -> Result<Input, CliError> {
    let mut input = Input::default();
    let mut seen = Seen::default();
    for path in expand(names)? {
        let (name, text) = content(&path)?;
        input.add(&name, &text, &mut seen)?;
    }
    if input.files.is_empty() && input.pods.is_empty() {
        return Err(CliError::Other(format!("{}: no objects", names_of(names))));
    }
    Ok(input)
}

fn names_of(names: &[PathBuf]) -> String {
    names.iter().map(|n| n.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Objects by kind, namespace and name, with where they stand.
#[derive(Default)]
struct Seen(BTreeMap<(String, String, String), Place>);

struct Place {
    file: String,
    line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Seen {
    fn add(&mut self, (kind, namespace, name): (&str, &str, &str), file: &str, line: u64) -> Result<(), FileError> {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(first) = self.0.get(&key) {
            let reason = format!("{kind} {name} is already in {first}");
            return Err(FileError { file: file.to_owned(), line, reason });
        }
        self.0.insert(key, Place { file: file.to_owned(), line });
        Ok(())
    }
}

impl Input {
    fn add(&mut self, name: &str, text: &str, seen: &mut Seen) -> Result<(), FileError> {
        let mut file = File { name: name.to_owned(), documents: Vec::new() };
        for (line, document) in documents(text) {
            // What holds no object goes with the owners, where it stays what it is.
            let kind = if is_empty(document) { String::new() } else { kind(name, line, document)? };
            if kind == "Pod" {
                let pod = parse_pod(name, line, document)?;
                seen.add(("Pod", pod.namespace(), &pod.metadata.name), name, line)?;
                self.pods.push(pod);
                file.documents.push((Step::Pods, document.to_owned()));
                continue;
            }
            let step = if kind.ends_with("Policy") { Step::Policies } else { Step::Owners };
            let document = document.to_owned();
            file.documents.push((if is_empty(&document) { Step::Pods } else { step }, document));
        }
        for step in [Step::Owners, Step::Policies] {
            for located in file.yaml(step).map(|yaml| parse(name, &yaml)).transpose()?.into_iter().flatten() {
                let (kind, namespace, object) = &located.key;
                if *kind == "Pod" {
                    let reason = "a Pod of a List is not run: make it a document of its own".to_owned();
                    return Err(FileError { file: name.to_owned(), line: located.line, reason });
                }
                seen.add((kind, namespace, object), name, located.line)?;
            }
        }
        if file.documents.iter().any(|(step, _)| *step != Step::Pods) {
            self.files.push(file);
        }
        Ok(())
    }
}

fn kind(file: &str, line: u64, document: &str) -> Result<String, FileError> {
    let envelope: Envelope = serde_saphyr::from_str(document).map_err(|e| {
        let line = e.location().map_or(line, |l| line + l.line().saturating_sub(1));
        FileError { file: file.to_owned(), line, reason: e.without_snippet().to_string() }
    })?;
    Ok(envelope.kind)
}

fn is_empty(document: &str) -> bool {
    document.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'))
}

fn expand(names: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for name in names {
        if !name.is_dir() {
            files.push(name.clone());
            continue;
        }
        let entries = std::fs::read_dir(name).map_err(CliError::io(name))?;
        let is_manifest = |p: &PathBuf| {
            let hidden = p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            !hidden && p.is_file() && p.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
        };
        let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(is_manifest).collect();
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn content(path: &Path) -> Result<(String, String), CliError> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(CliError::io(Path::new("standard input")))?;
        return Ok(("standard input".into(), text));
    }
    Ok((path.display().to_string(), std::fs::read_to_string(path).map_err(CliError::io(path))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(text: &str) -> Result<Input, FileError> {
        let mut input = Input::default();
        input.add("f.yaml", text, &mut Seen::default()).map(|()| input)
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n";

    #[test]
    fn pods_are_taken_out_and_the_lines_of_the_rest_stay() {
        let text = format!("{POD}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: n}}\n---\n# nothing\n");
        let input = add(&text).unwrap();
        assert_eq!(input.pods.len(), 1);
        let yaml = input.files[0].yaml(Step::Owners).unwrap();
        assert_eq!(
            yaml.lines().position(|l| l == "kind: Namespace"),
            text.lines().position(|l| l == "kind: Namespace")
        );
        assert!(!yaml.contains("Pod") && input.files[0].yaml(Step::Policies).is_none());
    }

    #[test]
    fn a_mistake_after_a_pod_is_shown_at_its_line() {
        let text = format!("{POD}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: n}}\nspeck: {{}}\n");
        let error = add(&text).unwrap_err();
        assert_eq!(error.line, 9, "{error}");
        assert!(error.to_string().starts_with("f.yaml:9: ") && error.reason.contains("speck"), "{error}");
    }

    #[test]
    fn an_object_twice_is_refused_with_both_places() {
        let error = add(&format!("{POD}---\n{POD}")).unwrap_err();
        assert_eq!(error.to_string(), "f.yaml:6: Pod a is already in f.yaml:1");
    }

    #[test]
    fn a_kind_that_nobody_takes_is_refused_by_name() {
        let error = add("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n").unwrap_err();
        assert!(error.line == 2 && error.reason.contains("Deployment"), "{error}");
    }

    #[test]
    fn the_examples_are_good() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples/two-tenants");
        let pods = read(std::slice::from_ref(&root)).unwrap();
        let names: Vec<String> = pods.pods.iter().map(PodManifest::to_string).collect();
        assert_eq!(names, ["acme/web", "acme/client", "blue/web", "blue/client"]);
        let policy = read(&[root.join("policy")]).unwrap();
        assert!(policy.pods.is_empty() && policy.files.len() == 1);
    }
}
