//! The labels of nodes: those of the token, and those that the host has given itself beside them.
//!
//! The policy may grant access by labels, so a host cannot change one that the token sets, whatever its case:
//! keys are compared without it, as the policy and the inventory compare them.

use super::refusal::{Refused, shown};
use crate::model::Label;

/// Most labels of one node, those of its token among them.
pub(super) const MAX_LABELS: usize = 64;
/// Longest key of a label that a host gives itself, in bytes.
const MAX_KEY: usize = 64;
/// Longest value, in bytes.
const MAX_VALUE: usize = 256;

/// The labels that a node has, sorted, and why others that it has reported are left out.
#[derive(Debug)]
pub(super) struct MergedLabels {
    pub(super) labels: Vec<Label>,
    pub(super) refused: Vec<Refused>,
}

/// The labels of a token, and beside them those of a report.
pub(super) fn merged(forced: &[Label], reported: &[String]) -> MergedLabels {
    let mut labels = forced.to_vec();
    let mut refused = Vec::new();
    if reported.len() > MAX_LABELS {
        refused.push(Refused::report("has too many labels"));
    }
    for text in reported.iter().take(MAX_LABELS) {
        match checked(text) {
            Ok(label) => match labels.iter().find(|one| is_same_key(one, &label)) {
                Some(same) if *same == label => {}
                Some(same) if forced.contains(same) => {
                    refused.push(Refused::label_forced(text, same));
                }
                Some(_) => refused.push(Refused::label_invalid(text, "its key is there twice")),
                None if labels.len() >= MAX_LABELS => {
                    refused.push(Refused::label_invalid(text, "there are too many"));
                }
                None => labels.push(label),
            },
            Err(why) => refused.push(Refused::label_invalid(text, why)),
        }
    }
    labels.sort();
    MergedLabels { labels, refused }
}

fn is_same_key(one: &Label, other: &Label) -> bool {
    one.key.to_lowercase() == other.key.to_lowercase()
}

/// A text as a label of a node, by the grammar of the configuration.
///
/// # Errors
/// Says why no node can have it.
pub(super) fn checked(text: &str) -> Result<Label, &'static str> {
    if text.len() > MAX_KEY + 1 + MAX_VALUE {
        return Err("it is too long");
    }
    let Ok(label) = text.parse::<Label>() else {
        return Err("expected key=value");
    };
    if !Label::is_key(&label.key) {
        return Err("its key has white space, control or invisible characters");
    }
    if !Label::is_value(&label.value) {
        return Err("its value has control or invisible characters");
    }
    if label.key.len() > MAX_KEY || label.value.len() > MAX_VALUE {
        return Err("it is too long");
    }
    Ok(label)
}

/// What a node is told about a label that it has reported and that does not count.
pub(super) fn warning(refused: &Refused) -> String {
    format!("{} ({})", refused.message, refused.reason)
}

/// Labels as they are logged.
pub(super) fn texts(labels: &[Label]) -> Vec<String> {
    labels.iter().map(Label::to_string).collect()
}

/// A text of an administrator as a label.
///
/// # Errors
/// The message for the administrator.
pub(super) fn for_token(label: &Label) -> Result<(), String> {
    let text = label.to_string();
    match checked(&text) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!(
            "{} cannot be the label of a node: {why}",
            shown(&text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Vec<Label> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn merge(forced: &[&str], reported: &[&str]) -> (Vec<String>, Vec<&'static str>) {
        let reported: Vec<_> = reported.iter().map(|text| (*text).to_owned()).collect();
        let merged = merged(&labels(forced), &reported);
        let reasons = merged.refused.iter().map(|refused| refused.reason);
        (texts(&merged.labels), reasons.collect())
    }

    #[test]
    fn labels_of_the_token_stay_whatever_is_reported() {
        let (labels, reasons) = merge(
            &["env=prod", "team=db"],
            &["os=debian", "env=prod", "ENV=test", "Team=web", "env=test"],
        );
        assert_eq!(labels, ["env=prod", "os=debian", "team=db"]);
        assert_eq!(reasons, ["label-forced"; 3]);
        // The long s folds to s, and so does the sign of Kelvin to k.
        let (labels, reasons) = merge(&["k=1"], &["\u{212a}=2"]);
        assert_eq!(
            (labels.len(), reasons.as_slice()),
            (1, &["label-forced"][..])
        );
    }

    #[test]
    fn what_is_no_label_is_left_out() {
        let long = ["x=".to_owned() + &"v".repeat(257), "k".repeat(65) + "=v"];
        let (labels, reasons) = merge(
            &[],
            &[
                "env",
                "=v",
                "a b=c",
                "a=\u{1b}[31m",
                "a=\u{202e}b",
                "a\nb=c",
                &long[0],
                &long[1],
                "a=1",
                "A=2",
                "b=",
                "c=d=e",
            ],
        );
        assert_eq!(labels, ["a=1", "b=", "c=d=e"]);
        assert_eq!(reasons, ["label-invalid"; 9]);
        let many: Vec<_> = (0..=MAX_LABELS)
            .map(|number| format!("l{number}=v"))
            .collect();
        let merged = merged(&[], &many);
        assert_eq!(merged.labels.len(), MAX_LABELS);
        assert_eq!(merged.refused.len(), 1);
        // Those of the token are among them.
        let forced: Vec<Label> = (0..32)
            .map(|number| format!("f{number}=v").parse().unwrap())
            .collect();
        let merged = super::merged(&forced, &many[..MAX_LABELS]);
        assert_eq!(merged.labels.len(), MAX_LABELS);
        assert!(forced.iter().all(|one| merged.labels.contains(one)));
        assert_eq!(merged.refused.len(), 32);
    }
}
