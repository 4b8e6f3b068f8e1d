//! What Instagram's errors mean, and which of them prove that a post did not come out.

use jobs::contract::{Class, Failure};

use super::super::{
    graph,
    http::{Codes, Row, Tables},
};

/// What Instagram's codes mean: its own, and Graph's.
pub const TABLES: Tables = Tables { rows: &[ERRORS, graph::ERRORS], definite_no: DEFINITE_NO };

/// What the codes and subcodes of publishing mean, in errors and in a container's `status` alike. From "Instagram
/// Platform Error Codes" of Meta's documents; 2207077 and above were seen in the field.
const ERRORS: &[Row] = &[
    Row::sub("2207001", Class::Transient),
    Row::sub("2207003", Class::Transient).told("Instagram took too long to fetch the file."),
    Row::sub("2207020", Class::Transient),
    Row::sub("2207032", Class::Transient),
    Row::sub("2207053", Class::Transient),
    Row::sub("2207008", Class::Transient),
    Row::sub("2207027", Class::Transient),
    // Not fetchable. Each container gets a fresh address, so it is worth another attempt.
    Row::sub("2207052", Class::Transient).told("Instagram could not fetch the file."),
    Row::sub("2207077", Class::Transient),
    Row::sub("2207082", Class::Transient),
    Row::sub("2207085", Class::Transient),
    // The limit counts the last 24 hours, so places come free one by one.
    Row::sub("2207042", Class::Rate)
        .resting(15)
        .told("The account has published as much as Instagram lets it within a day."),
    Row::sub("2207051", Class::Rate).told("Instagram takes the account for a spammer."),
    Row::sub("2207050", Class::Permission).told("The Instagram account is restricted or inactive."),
    Row::sub("2207004", Class::Permanent).told("The file is larger than Instagram takes."),
    Row::sub("2207005", Class::Permanent).told("The picture is of a format that Instagram does not take."),
    Row::sub("2207006", Class::Permanent)
        .told("Instagram does not find the media, or the account may not use it."),
    Row::sub("2207009", Class::Permanent).told("The picture is of a shape that Instagram does not take."),
    Row::sub("2207010", Class::Permanent).told("The caption is longer than Instagram takes."),
    Row::sub("2207023", Class::Permanent).told("Instagram does not take this type of media here."),
    Row::sub("2207026", Class::Permanent).told("The film is of a format that Instagram does not take."),
    Row::sub("2207028", Class::Permanent).told("The carousel has more or fewer slides than Instagram takes."),
    Row::sub("2207035", Class::Permanent).told("A tag in the post cannot be used."),
    Row::sub("2207036", Class::Permanent).told("A tag in the post cannot be used."),
    Row::sub("2207037", Class::Permanent).told("A tag in the post cannot be used."),
    Row::sub("2207040", Class::Permanent).told("A tag in the post cannot be used."),
    Row::sub("2207057", Class::Permanent).told("The moment chosen for the cover lies outside the film."),
    Row::sub("2207073", Class::Permanent)
        .told("Instagram does not let a post of this type be removed by an app: its owner deletes it in the Instagram app."),
    Row::sub("2207081", Class::Permanent).told("The account may not publish trial reels."),
    // The same without a subcode.
    Row::is("-1", Class::Transient),
    Row::is("-2", Class::Transient),
    Row::is("9", Class::Rate).resting(15),
    Row::is("24", Class::Transient),
    Row::is("25", Class::Permission).told("The Instagram account is restricted or inactive."),
    Row::is("352", Class::Permanent).told("The film is of a format that Instagram does not take."),
    Row::is("9004", Class::Transient).told("Instagram could not fetch the file."),
    Row::is("9007", Class::Transient),
    Row::span(36000, 36004, Class::Permanent).told("Instagram does not take this picture or caption."),
];

/// The answers that prove that the call which publishes a container had no effect.
///
/// The token is looked at before anything is done; "not ready" says that there is nothing yet to publish. Both try
/// again later, after the container was read again. The last five say that the content itself can never be a post. Not
/// here: 10 and 200 to 299, of which nobody says when they are looked at, so that the container is asked before they
/// rest the account; 4/2207051, which came with posts that were live; 24/2207008 and 100/2207023, which a container
/// that is already published may answer; and the daily limit, which counts only where two more reads bear it out.
const DEFINITE_NO: &[Codes] = &[
    Codes::Is("190"),
    Codes::Is("9007/2207027"),
    Codes::Is("36000/2207004"),
    Codes::Is("36001/2207005"),
    Codes::Is("36003/2207009"),
    Codes::Is("36004/2207010"),
    Codes::Is("352/2207026"),
];

/// The account was called a spammer.
pub const SPAM: &str = "4/2207051";
/// The account has published as much as it may in a day.
pub const DAILY_LIMIT: &str = "9/2207042";

/// What the text of a broken container's `status` means; one without a code is worth a new container.
pub fn broken(status: &str) -> Failure {
    let mut words = status.split(|letter: char| !letter.is_ascii_digit());
    let sub = words.find(|word| word.len() == 7 && word.starts_with("2207")).unwrap_or("unknown");
    let code = format!("container/{sub}");
    let row = TABLES.row(&code);
    let class = row.map_or(Class::Transient, |row| row.class);
    let message = row.and_then(|row| row.told).map_or(status.to_owned(), |told| format!("{told} ({status})"));
    Failure::new(class, code, message)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::networks::http::{Fault, Phase, Rest, Said, classify};

    fn commits_to(code: &str) -> Fault {
        let status = StatusCode::BAD_REQUEST;
        let said =
            Said { status, code: code.into(), message: String::new(), transient: false, rest: Rest::Unsaid };
        classify(Phase::Commit, said, &TABLES)
    }

    #[test]
    fn an_answer_that_came_with_a_live_post_is_never_a_no() {
        for code in [
            "4/2207051",
            "24/2207008",
            "100/2207023",
            "100/33",
            "9/2207042",
            "-1/2207053",
            "9007",
            "1",
            "10",
            "200",
        ] {
            assert!(matches!(commits_to(code), Fault::Unknown(_)), "{code}");
        }
        for code in ["190/460", "9007/2207027", "36004/2207010"] {
            assert!(matches!(commits_to(code), Fault::Refused(_)), "{code}");
        }
    }

    #[test]
    fn a_broken_container_is_broken_by_the_code_in_its_words() {
        let ratio = broken("Error: Media upload has failed with error code 2207009");
        assert_eq!((ratio.class, ratio.code.as_str()), (Class::Permanent, "container/2207009"));
        assert_eq!(broken("Error: 2207053.").class, Class::Transient);
        assert_eq!(broken("Error").class, Class::Transient);
    }
}
