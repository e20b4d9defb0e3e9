//! What a check says.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

/// How bad it is; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is wrong: Envoy or the filter refuses it, or requests leave unsigned.
    Error,
    /// Envoy loads it, and it works, but probably not as it is meant.
    Warning,
    /// It is good for some, and others should know.
    Note,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What is wrong, and how to mend it.
    pub message: String,
    /// The name of the rule that says it; empty where the file cannot be read.
    pub rule: &'static str,
}

/// Where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The name of the file, where it has one.
    pub file: Option<String>,
    /// The number of the document, from 1, where the file has several.
    pub document: Option<usize>,
    /// The part of the document, where that holds others: a `ConfigMap`.
    pub part: Option<String>,
    /// The name of the filter, and of the cluster or listener that has it.
    pub filter: Option<String>,
    /// The field, in snake case; empty for the whole.
    pub field: String,
}

/// What all checks of some files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many configurations of the filter there were.
    pub checked: usize,
    /// The errors, then the warnings, then the notes.
    pub findings: Vec<Finding>,
}

/// What a report comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found, or notes alone.
    Good,
    /// There are warnings alone.
    Warnings,
    /// There is an error, or more.
    Errors,
}

impl Finding {
    /// An error in a field of a place.
    pub fn error(place: &Place, field: &str, message: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, place, field, message.into())
    }

    /// A warning of a field of a place.
    pub fn warning(place: &Place, field: &str, message: impl Into<String>) -> Finding {
        Finding::new(Severity::Warning, place, field, message.into())
    }

    /// A note on a field of a place.
    pub fn note(place: &Place, field: &str, message: impl Into<String>) -> Finding {
        Finding::new(Severity::Note, place, field, message.into())
    }

    fn new(severity: Severity, place: &Place, field: &str, message: String) -> Finding {
        let place = Place {
            field: field.to_owned(),
            ..place.clone()
        };
        Finding {
            severity,
            place,
            message,
            rule: "",
        }
    }
}

impl Report {
    /// Puts the findings in order, each once.
    pub fn new(checked: usize, mut findings: Vec<Finding>) -> Report {
        let mut said = BTreeSet::new();
        findings.retain(|finding| said.insert(finding.clone()));
        findings.sort_by_key(|finding| finding.severity);
        Report { checked, findings }
    }

    /// What the worst finding comes to.
    pub fn verdict(&self) -> Verdict {
        match self.findings.first().map(|finding| finding.severity) {
            Some(Severity::Error) => Verdict::Errors,
            Some(Severity::Warning) => Verdict::Warnings,
            Some(Severity::Note) | None => Verdict::Good,
        }
    }

    /// How many findings are this bad.
    pub fn count(&self, severity: Severity) -> usize {
        let alike = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(alike).count()
    }

    /// As JSON, for programs.
    pub fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            let Place {
                file,
                document,
                part,
                filter,
                field,
            } = &finding.place;
            json!({"severity": finding.severity.to_string(), "rule": finding.rule, "file": file,
                   "document": document, "part": part, "filter": filter, "field": field,
                   "message": finding.message})
        });
        json!({"checked": self.checked, "errors": self.count(Severity::Error),
               "warnings": self.count(Severity::Warning), "notes": self.count(Severity::Note),
               "findings": findings.collect::<Vec<_>>()})
    }
}

impl Display for Severity {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

impl Display for Finding {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "{}: ", self.severity)?;
        let Place {
            file: _,
            document,
            part,
            filter,
            field,
        } = &self.place;
        if let Some(document) = document {
            write!(formatter, "document {document}: ")?;
        }
        if let Some(part) = part {
            write!(formatter, "{part}: ")?;
        }
        if let Some(filter) = filter {
            write!(formatter, "filter {filter}: ")?;
        }
        if !field.is_empty() {
            write!(formatter, "{field}: ")?;
        }
        formatter.write_str(&self.message)?;
        match self.rule {
            "" => Ok(()),
            rule => write!(formatter, " [{rule}]"),
        }
    }
}
