//! The findings of the checks.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

/// The severity of a finding; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// An error: Envoy or the filter refuses the configuration, or requests leave unsigned.
    Error,
    /// A warning: Envoy loads the configuration and it works, but probably not as intended.
    Warning,
    /// A note: it is right for some users, and others should know.
    Note,
}

/// A problem in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The severity of the problem.
    pub severity: Severity,
    /// The place of the problem.
    pub place: Place,
    /// The problem, and the way to fix it.
    pub message: String,
    /// The name of the rule that found it; empty if the file cannot be read.
    pub rule: &'static str,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The name of the file, if it has one.
    pub file: Option<String>,
    /// The number of the document, from 1, if the file has several.
    pub document: Option<usize>,
    /// The part of the document, if the document holds others, as a `ConfigMap` does.
    pub part: Option<String>,
    /// The name of the filter, and of its cluster or listener.
    pub filter: Option<String>,
    /// The field, in snake case; empty for the whole configuration.
    pub field: String,
}

/// The result of all checks of some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number of configurations of the filter.
    pub checked: usize,
    /// The findings: the errors, then the warnings, then the notes.
    pub findings: Vec<Finding>,
}

/// The overall result of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are no findings, or only notes.
    Good,
    /// There are warnings, but no errors.
    Warnings,
    /// There are errors.
    Errors,
}

impl Finding {
    /// An error in a field of a place.
    pub fn error(place: &Place, field: &str, message: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, place, field, message.into())
    }

    /// A warning about a field of a place.
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
    /// Sorts the findings, and removes duplicates.
    pub fn new(checked: usize, mut findings: Vec<Finding>) -> Report {
        let mut said = BTreeSet::new();
        findings.retain(|finding| said.insert(finding.clone()));
        findings.sort_by_key(|finding| finding.severity);
        Report { checked, findings }
    }

    /// The overall result, which is that of the worst finding.
    pub fn verdict(&self) -> Verdict {
        match self.findings.first().map(|finding| finding.severity) {
            Some(Severity::Error) => Verdict::Errors,
            Some(Severity::Warning) => Verdict::Warnings,
            Some(Severity::Note) | None => Verdict::Good,
        }
    }

    /// The number of findings of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        let alike = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(alike).count()
    }

    /// The report as JSON, for programs.
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
