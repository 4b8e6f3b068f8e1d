//! Errors by proof: each row of the networks' documents, and what it means in each phase.
//!
//! Before a commit, and in a read, an error is what its row says. On a commit it is a no only where it is on the
//! short list; anything else is an outcome that nobody knows.

use jobs::contract::{
    Class::{self, Auth, Permanent, Permission, Rate, Transient},
    Failure,
};
use reqwest::StatusCode;

use super::{
    facebook,
    http::{Fault, Phase, Rest, Said, Tables, classify},
    instagram, tiktok,
};

/// Whose row it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    /// Graph's, so Facebook's and Instagram's.
    Graph,
    Facebook,
    Instagram,
    TikTok,
}

/// What it proves about a commit that it answered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Commit {
    No,
    Unknown,
}

/// A row: its code; its class; what it proves about a commit; who acts; and some of what people are told.
type Line = (Of, &'static str, Class, Commit, &'static str, &'static str);

const LINES: &[Line] = {
    use Commit::{No, Unknown as Open};
    use Of::{Facebook, Graph, Instagram, TikTok};
    &[
        // Graph, every product
        (Graph, "1", Transient, Open, "postroom", ""),
        (Graph, "2", Transient, Open, "postroom", ""),
        (Graph, "4", Rate, Open, "postroom", ""),
        (Graph, "17", Rate, Open, "postroom", ""),
        (Graph, "17/2446079", Rate, Open, "postroom", ""),
        (Graph, "32", Rate, Open, "postroom", ""),
        (Graph, "341", Rate, Open, "postroom", ""),
        (Graph, "613", Rate, Open, "postroom", ""),
        (Graph, "613/1487742", Rate, Open, "postroom", ""),
        (Graph, "613/5044001", Rate, Open, "postroom", ""),
        (Graph, "613/1996", Rate, Open, "postroom", ""),
        (Graph, "80000", Rate, Open, "postroom", ""),
        (Graph, "80001", Rate, Open, "postroom", ""),
        (Graph, "80002", Rate, Open, "postroom", ""),
        (Graph, "80003", Rate, Open, "postroom", ""),
        (Graph, "80004", Rate, Open, "postroom", ""),
        (Graph, "80005", Rate, Open, "postroom", ""),
        (Graph, "80006", Rate, Open, "postroom", ""),
        (Graph, "80008", Rate, Open, "postroom", ""),
        (Graph, "80009", Rate, Open, "postroom", ""),
        (Graph, "80014", Rate, Open, "postroom", ""),
        (Graph, "3", Permanent, Open, "operator", "The app may not do this"),
        (Facebook, "10", Permission, No, "owner", "A permission is missing"),
        (Instagram, "10", Permission, Open, "owner", "A permission is missing"),
        (Graph, "100", Permanent, Open, "author", ""),
        (Graph, "100/33", Permanent, Open, "author", ""),
        (Graph, "102", Auth, Open, "owner", "session is over"),
        (Graph, "190", Auth, No, "owner", "no longer good"),
        (Graph, "190/458", Auth, No, "owner", "app was removed"),
        (Graph, "190/459", Auth, No, "owner", "pass a check"),
        (Graph, "190/460", Auth, No, "owner", "password was changed"),
        (Graph, "190/463", Auth, No, "owner", "has expired"),
        (Graph, "190/464", Auth, No, "owner", "confirm the Facebook account"),
        (Graph, "190/467", Auth, No, "owner", "withdrawn"),
        (Graph, "190/492", Auth, No, "owner", "no role on the Page"),
        (Facebook, "200", Permission, No, "owner", "A permission is missing"),
        (Instagram, "200", Permission, Open, "owner", "A permission is missing"),
        (Facebook, "294", Permission, No, "owner", "A permission is missing"),
        (Instagram, "294", Permission, Open, "owner", "A permission is missing"),
        (Facebook, "299", Permission, No, "owner", "A permission is missing"),
        (Instagram, "299", Permission, Open, "owner", "A permission is missing"),
        (Graph, "368", Permanent, Open, "author", "by its rules"),
        (Graph, "368/1390008", Permanent, Open, "author", "by its rules"),
        (Graph, "368/1404082", Permanent, Open, "author", "by its rules"),
        (Graph, "368/4854002", Permanent, Open, "author", "by its rules"),
        // perhaps public already: only a read can tell
        (Graph, "506", Permanent, Open, "author", "The same was posted"),
        // of a batch, of which none is sent
        (Graph, "960", Permanent, Open, "author", ""),
        (Graph, "2635", Permanent, Open, "operator", "retired"),
        (Graph, "1609005", Permanent, Open, "author", "behind the link"),
        (Graph, "100/1366046", Permanent, Open, "author", "picture is too large"),
        (Graph, "100/1366051", Permanent, Open, "author", "posted already"),
        (Graph, "100/1346003", Permanent, Open, "author", "abusive"),
        (Graph, "100/1363042", Permission, Open, "owner", "may not publish films"),
        (Graph, "100/1363023", Permanent, Open, "author", "larger than"),
        (Graph, "100/1363022", Permanent, Open, "author", "smaller than"),
        (Graph, "100/1363030", Transient, Open, "postroom", ""),
        (Graph, "100/1363019", Transient, Open, "postroom", ""),
        (Graph, "100/1363037", Transient, Open, "postroom", ""),
        (Graph, "6000", Permanent, Open, "author", "cannot be read"),
        // Facebook's address for uploads
        (Facebook, "389", Transient, Open, "postroom", ""),
        (Facebook, "OffsetInvalidError", Transient, Open, "postroom", ""),
        (Facebook, "PartialRequestError", Transient, Open, "postroom", ""),
        // Instagram, publishing
        (Instagram, "-2/2207003", Transient, Open, "postroom", "too long to fetch"),
        (Instagram, "-2/2207020", Transient, Open, "postroom", ""),
        (Instagram, "-2", Transient, Open, "postroom", ""),
        (Instagram, "-1/2207001", Transient, Open, "postroom", ""),
        (Instagram, "-1/2207032", Transient, Open, "postroom", ""),
        (Instagram, "-1/2207053", Transient, Open, "postroom", ""),
        (Instagram, "-1", Transient, Open, "postroom", ""),
        (Instagram, "24/2207008", Transient, Open, "postroom", ""),
        (Instagram, "24", Transient, Open, "postroom", ""),
        (Instagram, "24/2207006", Permanent, Open, "author", "does not find the media"),
        (Instagram, "9007/2207027", Transient, No, "postroom", ""),
        (Instagram, "9007", Transient, Open, "postroom", ""),
        // a no only where two more reads bear it out, which is not in the tables
        (Instagram, "9/2207042", Rate, Open, "postroom", "within a day"),
        (Instagram, "9", Rate, Open, "postroom", ""),
        // it came with posts that were live
        (Instagram, "4/2207051", Rate, Open, "postroom", "spammer"),
        (Instagram, "25/2207050", Permission, Open, "owner", "restricted or inactive"),
        (Instagram, "25", Permission, Open, "owner", "restricted or inactive"),
        (Instagram, "9004/2207052", Transient, Open, "postroom", "could not fetch"),
        (Instagram, "9004", Transient, Open, "postroom", "could not fetch"),
        (Instagram, "352/2207026", Permanent, No, "author", "film is of a format"),
        (Instagram, "352", Permanent, Open, "author", "film is of a format"),
        (Instagram, "36000/2207004", Permanent, No, "author", "larger than"),
        (Instagram, "36001/2207005", Permanent, No, "author", "picture is of a format"),
        (Instagram, "36003/2207009", Permanent, No, "author", "of a shape"),
        (Instagram, "36004/2207010", Permanent, No, "author", "caption is longer"),
        (Instagram, "36002", Permanent, Open, "author", "does not take this"),
        (Instagram, "100/2207023", Permanent, Open, "author", "type of media"),
        (Instagram, "100/2207028", Permanent, Open, "author", "fewer slides"),
        (Instagram, "100/2207035", Permanent, Open, "author", "A tag"),
        (Instagram, "100/2207036", Permanent, Open, "author", "A tag"),
        (Instagram, "100/2207037", Permanent, Open, "author", "A tag"),
        (Instagram, "100/2207040", Permanent, Open, "author", "A tag"),
        (Instagram, "1/2207057", Permanent, Open, "author", "cover"),
        (Instagram, "-1/2207077", Transient, Open, "postroom", ""),
        (Instagram, "-1/2207082", Transient, Open, "postroom", ""),
        (Instagram, "-1/2207085", Transient, Open, "postroom", ""),
        (Instagram, "100/2207073", Permanent, Open, "author", "removed by an app"),
        (Instagram, "100/2207081", Permanent, Open, "author", "trial reels"),
        // TikTok's codes
        (TikTok, "invalid_param", Permanent, Open, "author", ""),
        (TikTok, "invalid_params", Permanent, Open, "author", ""),
        (TikTok, "invalid_file_upload", Permanent, Open, "author", ""),
        (TikTok, "invalid_publish_id", Permanent, Open, "author", ""),
        (TikTok, "access_token_invalid", Auth, Open, "owner", ""),
        (TikTok, "scope_not_authorized", Permission, Open, "owner", ""),
        (TikTok, "scope_permission_missed", Permission, Open, "owner", ""),
        (TikTok, "spam_risk_too_many_posts", Rate, Open, "postroom", ""),
        (TikTok, "spam_risk_user_banned_from_posting", Permission, Open, "owner", ""),
        (TikTok, "spam_risk_too_many_pending_share", Rate, Open, "postroom", ""),
        (TikTok, "reached_active_user_cap", Rate, Open, "postroom", ""),
        (
            TikTok,
            "unaudited_client_can_only_post_to_private_accounts",
            Permanent,
            Open,
            "operator",
            "not audited",
        ),
        (TikTok, "url_ownership_unverified", Permanent, Open, "operator", "not verified"),
        (TikTok, "privacy_level_option_mismatch", Permanent, Open, "author", "privacy level"),
        (TikTok, "token_not_authorized_for_specified_publish_id", Permanent, Open, "author", ""),
        (TikTok, "rate_limit_exceeded", Rate, Open, "postroom", ""),
        (TikTok, "internal_error", Transient, Open, "postroom", ""),
        // TikTok's reasons why a film failed
        (TikTok, "file_format_check_failed", Permanent, Open, "author", ""),
        (TikTok, "duration_check_failed", Permanent, Open, "author", ""),
        (TikTok, "frame_rate_check_failed", Permanent, Open, "author", ""),
        (TikTok, "picture_size_check_failed", Permanent, Open, "author", ""),
        (TikTok, "internal", Transient, Open, "postroom", ""),
        (TikTok, "video_pull_failed", Transient, Open, "postroom", ""),
        (TikTok, "photo_pull_failed", Transient, Open, "postroom", ""),
        // only this side cancels, and only an upload that never became whole
        (TikTok, "publish_cancelled", Transient, Open, "postroom", ""),
        (TikTok, "auth_removed", Auth, Open, "owner", ""),
        (TikTok, "spam_risk", Permanent, Open, "author", ""),
        (TikTok, "spam_risk_text", Permanent, Open, "author", ""),
    ]
};

/// The tables that a row is read by.
fn tables(of: Of) -> &'static [Tables] {
    match of {
        Of::Graph => &[facebook::TABLES, instagram::TABLES],
        Of::Facebook => &[facebook::TABLES],
        Of::Instagram => &[instagram::TABLES],
        Of::TikTok => &[tiktok::TABLES],
    }
}

fn answered(phase: Phase, status: u16, code: &str, tables: &Tables) -> Fault {
    let status = StatusCode::from_u16(status).expect("a status");
    let said =
        Said { status, code: code.into(), message: "its words".into(), transient: false, rest: Rest::Unsaid };
    classify(phase, said, tables)
}

fn is_told(failure: &Failure, line: &Line) {
    let (_, code, class, _, who, told) = *line;
    assert_eq!((failure.class, failure.who_acts()), (class, who), "{code}");
    assert!(failure.message.contains(told) && failure.message.contains("its words"), "{code}: {failure}");
    assert_eq!(failure.code, code);
}

#[test]
fn every_row_of_the_documents_means_in_each_phase_what_they_say() {
    for line in LINES {
        let (of, code, _, commit, ..) = *line;
        for tables in tables(of) {
            for phase in [Phase::Prepare, Phase::Read] {
                match answered(phase, 400, code, tables) {
                    Fault::Refused(failure) => is_told(&failure, line),
                    other => panic!("{code}: {other:?}"),
                }
            }
            match (answered(Phase::Commit, 400, code, tables), commit) {
                (Fault::Refused(failure), Commit::No) => is_told(&failure, line),
                (Fault::Unknown(failure), Commit::Unknown) => {
                    assert_eq!((failure.class, failure.who_acts()), (Class::Unknown, "postroom"), "{code}");
                }
                (other, _) => panic!("{code} on a commit: {other:?}"),
            }
            let broken = answered(Phase::Commit, 500, code, tables);
            assert!(matches!(broken, Fault::Unknown(_)), "{code}: a server that has lost its way");
        }
    }
}

#[test]
fn what_no_document_knows_is_unknown_on_a_commit_whatever_its_status() {
    for tables in [facebook::TABLES, instagram::TABLES, tiktok::TABLES] {
        for code in ["0", "5", "300", "9007/1", "36003/1", "2207009", "something_new", "http_400", ""] {
            for status in [200, 302, 400, 401, 403, 404, 408, 409, 429, 500, 502, 503] {
                let fault = answered(Phase::Commit, status, code, &tables);
                let unknown = matches!(&fault, Fault::Unknown(failure) if failure.class == Class::Unknown);
                assert!(unknown, "{code:?} under {status}: {fault:?}");
            }
        }
    }
}

#[test]
fn no_row_of_a_table_is_without_a_line() {
    let lines =
        |of: Of| LINES.iter().filter(move |line| line.0 == of || line.0 == Of::Graph && of != Of::TikTok);
    let all: [(Tables, Vec<&Line>); 3] = [
        (facebook::TABLES, lines(Of::Facebook).collect()),
        (instagram::TABLES, lines(Of::Instagram).collect()),
        (tiktok::TABLES, lines(Of::TikTok).collect()),
    ];
    for (tables, lines) in all {
        for row in tables.rows.iter().copied().flatten() {
            let read = |line: &&Line| tables.row(line.1).is_some_and(|found| found.codes == row.codes);
            assert!(lines.iter().any(read), "{:?} is in no line", row.codes);
        }
        for no in tables.definite_no {
            let alone = Tables { rows: tables.rows, definite_no: std::slice::from_ref(no) };
            let proves = |line: &&Line| {
                line.3 == Commit::No
                    && matches!(answered(Phase::Commit, 400, line.1, &alone), Fault::Refused(_))
            };
            assert!(lines.iter().any(proves), "{no:?} is a no that no line names");
        }
    }
}
