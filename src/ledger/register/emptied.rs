//! The stores that are emptied of a person, in order.

use super::{Place, Purge, Store, Whose};

/// A condition: the column names something that is marked.
macro_rules! marked {
    ($column:literal, $kind:literal) => {
        concat!(
            "t.",
            $column,
            " IN (SELECT m.id FROM deletion_mark m WHERE m.request_id = $1 AND m.kind = '",
            $kind,
            "')"
        )
    };
}

/// Rows of an account.
macro_rules! of_account {
    ($table:literal) => {
        Purge::Rows {
            of: marked!("account_id", "account"),
            left: concat!(
                "SELECT count(*) FROM deletion_account d JOIN ",
                $table,
                " t ON t.account_id = d.account_id WHERE d.request_id = $1"
            ),
        }
    };
}

/// Rows of a publication, counted by what is marked.
macro_rules! of_marked {
    ($table:literal, $column:literal, $kind:literal) => {
        Purge::Rows {
            of: marked!($column, $kind),
            left: concat!(
                "SELECT count(*) FROM deletion_mark m JOIN ",
                $table,
                " t ON t.",
                $column,
                " = m.id WHERE m.request_id = $1 AND m.kind = '",
                $kind,
                "'"
            ),
        }
    };
}

/// Analyses that were made for one of the networks in one of the workspaces, whoever else's they may be besides: what is in
/// them tells of no account.
macro_rules! of_analysis {
    ($table:literal, $column:literal) => {
        Purge::Rows {
            of: marked!($column, "analysis"),
            left: concat!(
                "SELECT count(*) FROM analysis a JOIN ",
                $table,
                " t ON t.",
                $column,
                " = a.id WHERE EXISTS (SELECT FROM deletion_account d WHERE d.request_id = $1 \
                                       AND d.workspace_id = a.workspace_id AND a.platforms @> ARRAY[d.platform])"
            ),
        }
    };
}

/// A condition: a post that is marked, and has no publication but those that the request covers.
macro_rules! going {
    ($post:literal) => {
        concat!(
            $post,
            " IN (SELECT m.id FROM deletion_mark m WHERE m.request_id = $1 AND m.kind = 'post') \
             AND NOT EXISTS (SELECT FROM publication o WHERE o.post_id = ",
            $post,
            " AND NOT EXISTS (SELECT FROM deletion_account d \
                              WHERE d.request_id = $1 AND d.account_id = o.account_id))"
        )
    };
}

const HISTORY: &str = "what happened and why, for whoever has to explain it; retention.history";
const WHILE_CONNECTED: &str =
    "to publish for the account; while the connection lives, and retention.disconnected after it";
const WHILE_POST: &str = "to publish, and to prove what became of it; while the post is kept";

const WHILE_LINK: &str = "a copy of what is known of somebody, for themselves; until its link ends, a week";

/// What refers to something goes before it.
pub const EMPTIED: &[Store] = &[
    Store {
        name: "delivery",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "what became of an event at an address; retention.history",
        personal: &[],
        plain: &[
            "id",
            "event_id",
            "webhook_id",
            "job_id",
            "state",
            "tries",
            "last_status",
            "last_error",
            "last_at",
            "delivered_at",
            "created_at",
        ],
        purge: Purge::Rows {
            of: "t.event_id IN (SELECT e.id FROM event e JOIN deletion_mark m ON m.id = e.account_id \
                 WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN event e ON e.account_id = d.account_id \
                   JOIN delivery t ON t.event_id = e.id WHERE d.request_id = $1",
        },
    },
    Store {
        name: "event",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "what happened to which post or account, for a workspace's own software; retention.history",
        personal: &[],
        plain: &[
            "id",
            "workspace_id",
            "type",
            "occurred_at",
            "post_id",
            "publication_id",
            "account_id",
            "request_id",
        ],
        purge: of_account!("event"),
    },
    Store {
        name: "export_part",
        place: Place::Table,
        whose: Whose::Connection,
        why: WHILE_LINK,
        personal: &[("sums", "running sums of a file, and its last few bytes")],
        plain: &["export_id", "number", "bytes", "position", "within"],
        purge: of_marked!("export_part", "export_id", "export"),
    },
    Store {
        name: "export_item",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what goes into a copy of what is known of somebody; until it is packed",
        personal: &[("body", "all that is known of somebody")],
        plain: &["export_id", "position", "path", "object_key", "begins_at", "crc", "bytes", "sha256"],
        purge: of_marked!("export_item", "export_id", "export"),
    },
    Store {
        name: "export_covered",
        place: Place::Table,
        whose: Whose::Connection,
        why: WHILE_LINK,
        personal: &[("id", "whom it is of")],
        plain: &["export_id", "kind"],
        purge: of_marked!("export_covered", "export_id", "export"),
    },
    Store {
        name: "export",
        place: Place::Table,
        whose: Whose::Nobody,
        why: WHILE_LINK,
        personal: &[],
        plain: &[
            "id",
            "workspace_id",
            "whole",
            "state",
            "link_digest",
            "object_key",
            "parts",
            "bytes",
            "asked_at",
            "made_at",
            "taken_at",
            "expires_at",
        ],
        purge: of_marked!("export", "id", "export"),
    },
    Store {
        name: "claim",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "which worker holds which job; while it does",
        personal: &[],
        plain: &["job_id", "epoch", "worker_inc", "started_at", "deadline_at"],
        purge: of_marked!("claim", "job_id", "job"),
    },
    Store {
        name: "job",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what is to be done; until it is",
        personal: &[("payload", "whatever a kind needs to be told")],
        plain: &[
            "id",
            "kind",
            "ver",
            "workspace_id",
            "account_id",
            "publication_id",
            "prio",
            "run_at",
            "standing",
            "epoch",
            "attempt",
            "crash_count",
            "created_at",
            "troubled_at",
        ],
        purge: Purge::Rows {
            of: marked!("id", "job"),
            left: "SELECT count(*) FROM deletion_account d JOIN job t ON t.account_id = d.account_id \
                   WHERE d.request_id = $1",
        },
    },
    Store {
        name: "attempt",
        place: Place::Table,
        whose: Whose::Connection,
        why: HISTORY,
        personal: &[("reason", "a network's words about an account or a post")],
        plain: &["job_id", "publication_id", "epoch", "started_at", "ended_at", "outcome"],
        purge: Purge::Rows {
            of: marked!("job_id", "job"),
            left: "SELECT count(*) FROM attempt t JOIN deletion_mark m ON m.id IN (t.publication_id, t.job_id) \
                   WHERE m.request_id = $1 AND m.kind IN ('publication', 'job')",
        },
    },
    Store {
        name: "job_history",
        place: Place::Table,
        whose: Whose::Connection,
        why: HISTORY,
        personal: &[
            ("payload", "whatever a kind was told"),
            ("reason", "a network's words about an account or a post"),
            ("output", "what came of it, addresses of posts among it"),
        ],
        plain: &[
            "id",
            "kind",
            "workspace_id",
            "account_id",
            "publication_id",
            "epoch",
            "attempt",
            "crash_count",
            "outcome",
            "created_at",
            "started_at",
            "finished_at",
            "ver",
            "redriven_as",
            "troubled_at",
        ],
        purge: Purge::Rows {
            of: marked!("id", "job"),
            left: "SELECT count(*) FROM deletion_account d JOIN job_history t ON t.account_id = d.account_id \
                   WHERE d.request_id = $1",
        },
    },
    Store {
        name: "media_fetch",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what a network has fetched from us, which proves what it can show; while the post is kept",
        personal: &[],
        plain: &["call_id", "position", "fetches", "first_at", "last_at"],
        purge: Purge::Rows {
            of: "t.call_id IN (SELECT c.call_id FROM remote_call c JOIN deletion_mark m ON m.id = c.account_id \
                 WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM media_fetch t JOIN remote_call c ON c.call_id = t.call_id \
                   JOIN deletion_account d ON d.account_id = c.account_id WHERE d.request_id = $1",
        },
    },
    Store {
        name: "verdict",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who decided about a held post, and why; while the post is kept",
        personal: &[
            ("reason", "what somebody wrote"),
            ("permalink", "where the post is"),
            ("person_id", "who decided"),
        ],
        plain: &["id", "publication_id", "published", "said_by", "api_key_id", "decided_at"],
        purge: of_marked!("verdict", "publication_id", "publication"),
    },
    Store {
        name: "take_down",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who wished a post taken down, and what came of it; while the post is kept",
        personal: &[
            ("reason", "what somebody wrote"),
            ("why", "a network's words"),
            ("asked_by", "who wished it"),
        ],
        plain: &["publication_id", "state", "job_id", "asked_at", "ended_at"],
        purge: of_marked!("take_down", "publication_id", "publication"),
    },
    Store {
        name: "publication_check",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what was found wrong with a post before its time; while the post is kept",
        personal: &[("findings", "words about the account and the post")],
        plain: &["publication_id", "checked_at"],
        purge: of_marked!("publication_check", "publication_id", "publication"),
    },
    Store {
        name: "finding_told",
        place: Place::Table,
        whose: Whose::Connection,
        why: "that people were told what keeps a post from going out, so that they are told once; while the post is kept",
        personal: &[("code", "what was found about the account or the post")],
        plain: &["publication_id", "found_at", "told_at"],
        purge: of_marked!("finding_told", "publication_id", "publication"),
    },
    Store {
        name: "publication_content",
        place: Place::Table,
        whose: Whose::Connection,
        why: "to find repetitions; while the post is kept",
        personal: &[("digest", "a digest of a post's words and files")],
        plain: &["publication_id", "account_id"],
        purge: of_account!("publication_content"),
    },
    Store {
        name: "idempotency_key",
        place: Place::Table,
        whose: Whose::Connection,
        why: "answers that are given again to a repeated request; retention.idempotency",
        personal: &[("body", "a post with its words and addresses"), ("key", "whatever the asker chose")],
        plain: &["workspace_id", "digest", "status", "created_at", "media_id"],
        purge: Purge::Rows {
            // as an array: the key begins with the workspace, so only its answers are read
            of: "t.workspace_id = ANY (ARRAY(SELECT d.workspace_id FROM deletion_account d WHERE d.request_id = $1)) \
                 AND EXISTS (SELECT FROM regexp_matches(t.body, \
                                 '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'g') AS found (id) \
                             JOIN deletion_mark m ON m.request_id = $1 AND m.id = found.id[1]::uuid)",
            left: "SELECT count(*) FROM deletion_account d JOIN idempotency_key t ON t.workspace_id = d.workspace_id \
                   WHERE d.request_id = $1 AND strpos(t.body, d.account_id::text) > 0",
        },
    },
    Store {
        name: "remote_call",
        place: Place::Table,
        whose: Whose::Connection,
        why: "the write-ahead log of what was sent, which keeps it from being sent twice; while the post is kept",
        personal: &[
            ("handle_id", "a network's id of a post"),
            ("fingerprint", "a digest of what was sent"),
            ("remote_message", "a network's words"),
            ("remote_ids", "a network's ids of a post"),
        ],
        plain: &[
            "call_id",
            "publication_id",
            "account_id",
            "job_id",
            "epoch",
            "worker_inc",
            "seq",
            "kind",
            "started_at",
            "deadline_at",
            "finished_at",
            "http_status",
            "remote_code",
            "revoked",
            "verdict",
            "unsent",
        ],
        purge: of_account!("remote_call"),
    },
    Store {
        name: "draft_search",
        place: Place::Table,
        whose: Whose::Connection,
        why: "where something unseen may be whose name was lost; until it was looked for, once the account may be used",
        personal: &[],
        plain: &["account_id", "since", "seek_at", "tries"],
        purge: of_account!("draft_search"),
    },
    Store {
        name: "orphan_handle",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what is to be taken back at a network; until it is",
        personal: &[
            ("handle_id", "a network's id of something unpublished"),
            ("handle_detail", "a network's ids of what that is made of"),
        ],
        plain: &["account_id", "handle_kind", "created_at", "sweep_at"],
        purge: of_account!("orphan_handle"),
    },
    Store {
        name: "account_fact",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what a network said of an account, for checks ahead; while the connection lives",
        personal: &[("value", "names, limits and scopes of the account")],
        plain: &["account_id", "kind", "read_at"],
        purge: of_account!("account_fact"),
    },
    Store {
        name: "ending_told",
        place: Place::Table,
        whose: Whose::Connection,
        why: "which end of a connection was told of to administrators and webhooks, so that it is told once; while the connection lives",
        personal: &[],
        plain: &["account_id", "because", "ends_at", "told_at"],
        purge: of_account!("ending_told"),
    },
    Store {
        name: "snapshot",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what a network counted of an account and its posts; while the connection lives",
        personal: &[("points", "numbers about a post or an account")],
        plain: &["captured_at", "object"],
        purge: Purge::Rows {
            of: "t.object IN (SELECT p.number FROM metric_plan p JOIN deletion_mark m ON m.id = p.account_id \
                 WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN metric_plan p ON p.account_id = d.account_id \
                   JOIN snapshot t ON t.object = p.number WHERE d.request_id = $1",
        },
    },
    Store {
        name: "snapshot_day",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what a network counted of an account and its posts; while the connection lives",
        personal: &[("points", "numbers about a post or an account")],
        plain: &["captured_at", "object"],
        purge: Purge::Rows {
            of: "t.object IN (SELECT p.number FROM metric_plan p JOIN deletion_mark m ON m.id = p.account_id \
                 WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN metric_plan p ON p.account_id = d.account_id \
                   JOIN snapshot_day t ON t.object = p.number WHERE d.request_id = $1",
        },
    },
    Store {
        name: "snapshot_spread",
        place: Place::Table,
        whose: Whose::Connection,
        why: "who follows an account, by kinds of people, as its network counted them; while the connection lives",
        personal: &[("kinds", "how many people of each kind follow an account")],
        plain: &["captured_at", "object", "metric", "said"],
        purge: Purge::Rows {
            of: "t.object IN (SELECT p.number FROM metric_plan p JOIN deletion_mark m ON m.id = p.account_id \
                 WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN metric_plan p ON p.account_id = d.account_id \
                   JOIN snapshot_spread t ON t.object = p.number WHERE d.request_id = $1",
        },
    },
    Store {
        name: "ad_day",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what ads were seen, clicked and paid for; while the connection lives",
        personal: &[("numbers", "numbers about an ad"), ("currency", "what an account pays in")],
        plain: &["captured_at", "object", "day", "attribution"],
        purge: Purge::Rows {
            of: "t.object IN (SELECT o.number FROM ad_object o JOIN deletion_mark m ON m.id = o.account_id \
                 WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN ad_object o ON o.account_id = d.account_id \
                   JOIN ad_day t ON t.object = o.number WHERE d.request_id = $1",
        },
    },
    Store {
        name: "ad_object",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what is advertised; while the connection lives",
        personal: &[
            ("remote_id", "a network's id of an ad, or of what it is in"),
            ("parent_id", "a network's id of what an ad is in"),
            ("name", "what people call it"),
        ],
        plain: &["number", "workspace_id", "account_id", "level", "seen_at"],
        purge: of_account!("ad_object"),
    },
    Store {
        name: "metric_plan",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what is counted and when; while the connection lives",
        personal: &[("since", "when something was published")],
        plain: &[
            "number",
            "workspace_id",
            "account_id",
            "publication_id",
            "object",
            "due_at",
            "ended",
            "captures",
            "absent_since",
            "captured_at",
            "resume",
        ],
        purge: of_account!("metric_plan"),
    },
    Store {
        name: "metric_refusal",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what a network does not tell of an account; while the connection lives",
        personal: &[("words", "a network's words")],
        plain: &["account_id", "metric", "since", "tried_at", "code"],
        purge: of_account!("metric_refusal"),
    },
    Store {
        name: "publication",
        place: Place::Table,
        whose: Whose::Connection,
        why: WHILE_POST,
        personal: &[
            ("caption", "words"),
            ("options", "what the author chose, the words of a comment among it"),
            ("handle_id", "a network's id"),
            ("handle_detail", "a network's ids"),
            ("public_id", "a network's id of the post"),
            ("public_url", "where the post is"),
            ("hold_reason", "words about the post"),
            ("error", "a network's words"),
            ("given_up", "a network's words"),
            ("link", "an address"),
        ],
        plain: &[
            "id",
            "workspace_id",
            "account_id",
            "post_id",
            "surface",
            "state",
            "version",
            "scheduled_for",
            "latest_at",
            "next_check_at",
            "handle_kind",
            "handle_state",
            "handle_version",
            "armed_at",
            "quarantine_until",
            "absent_since",
            "published_at",
            "cancel_requested_at",
            "updated_at",
            "restored_at",
            "check_at",
            "parent_id",
        ],
        purge: of_account!("publication"),
    },
    Store {
        name: "analysis_call",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what was asked of a provider of AI, and what it cost; retention.analyses",
        personal: &[
            ("answer", "words that a model wrote"),
            ("error", "a model's words"),
            ("digest", "a digest of what was asked"),
            ("sent", "digests of it"),
        ],
        plain: &[
            "id",
            "analysis_id",
            "workspace_id",
            "month",
            "prompt",
            "model",
            "state",
            "outcome",
            "counted_micros",
            "input_tokens",
            "output_tokens",
            "began_at",
            "open_until",
            "ended_at",
        ],
        purge: of_analysis!("analysis_call", "analysis_id"),
    },
    Store {
        name: "analysis_media",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "which files an analysis is about; retention.analyses",
        personal: &[],
        plain: &["analysis_id", "position", "media_id"],
        purge: of_analysis!("analysis_media", "analysis_id"),
    },
    Store {
        name: "analysis",
        place: Place::Table,
        whose: Whose::Connection,
        why: "help in writing, for whoever asked for it; retention.analyses",
        personal: &[
            ("brief", "what somebody wrote it is about"),
            ("result", "words that a model wrote, and numbers about a post or an account"),
            ("error", "a model's words"),
            ("created_by", "who asked"),
        ],
        plain: &[
            "id",
            "workspace_id",
            "kind",
            "state",
            "language",
            "platforms",
            "prompt",
            "model",
            "cached",
            "post_id",
            "account_id",
            "month",
            "created_at",
            "ended_at",
        ],
        purge: of_analysis!("analysis", "id"),
    },
    Store {
        name: "post_media",
        place: Place::Table,
        whose: Whose::Nobody,
        why: WHILE_POST,
        personal: &[],
        plain: &["post_id", "position", "media_id"],
        purge: Purge::Rows {
            of: going!("t.post_id"),
            left: "SELECT count(*) FROM deletion_mark m JOIN post_media t ON t.post_id = m.id \
                   LEFT JOIN publication p ON p.post_id = m.id \
                   WHERE m.request_id = $1 AND m.kind = 'post' AND p.id IS NULL",
        },
    },
    Store {
        name: "approval",
        place: Place::Table,
        whose: Whose::Connection,
        why: WHILE_POST,
        personal: &[
            ("asked_by", "who wrote it"),
            ("approved_by", "who approved it"),
            ("digest", "a digest of a post's words and files"),
        ],
        plain: &["post_id", "asked_at", "approved_at"],
        purge: of_marked!("approval", "post_id", "post"),
    },
    Store {
        name: "post",
        place: Place::Table,
        whose: Whose::Connection,
        why: WHILE_POST,
        personal: &[("caption", "words"), ("link", "an address"), ("created_by", "who wrote it")],
        plain: &[
            "id",
            "workspace_id",
            "kind",
            "wall_time",
            "time_zone",
            "fold",
            "scheduled_for",
            "latest_after",
            "created_at",
        ],
        // one that goes out elsewhere too stays there, until that goes too: whoever is the last takes it away
        purge: Purge::Rows {
            of: going!("t.id"),
            left: "SELECT count(*) FROM deletion_mark m JOIN post t ON t.id = m.id \
                   LEFT JOIN publication p ON p.post_id = m.id \
                   WHERE m.request_id = $1 AND m.kind = 'post' AND p.id IS NULL",
        },
    },
    Store {
        name: "upload",
        place: Place::Table,
        whose: Whose::Connection,
        why: "a file that was promised; retention.unfinished_uploads",
        personal: &[("name", "a file's name")],
        plain: &["id", "workspace_id", "object_key", "type", "bytes", "media_id", "created_at", "parts"],
        purge: Purge::Rows {
            of: concat!(
                marked!("id", "upload"),
                " AND NOT EXISTS (SELECT FROM post_media pm WHERE pm.media_id = t.media_id AND NOT (",
                going!("pm.post_id"),
                "))"
            ),
            left: "SELECT count(*) FROM deletion_mark m JOIN upload t ON t.id = m.id \
                   LEFT JOIN post_media pm ON pm.media_id = t.media_id \
                   WHERE m.request_id = $1 AND m.kind = 'upload' AND pm.post_id IS NULL",
        },
    },
    Store {
        name: "media",
        place: Place::Table,
        whose: Whose::Connection,
        why: "files of posts; while a post uses them, else retention.unused_media",
        personal: &[("name", "a file's name"), ("sha256", "a digest of the file")],
        plain: &[
            "id",
            "workspace_id",
            "object_key",
            "type",
            "bytes",
            "width",
            "height",
            "duration_ms",
            "state",
            "created_at",
        ],
        // what another post shows too is that one's
        purge: Purge::Rows {
            of: concat!(
                marked!("id", "media"),
                " AND NOT EXISTS (SELECT FROM post_media pm WHERE pm.media_id = t.id AND NOT (",
                going!("pm.post_id"),
                "))"
            ),
            left: "SELECT count(*) FROM deletion_mark m JOIN media t ON t.id = m.id \
                   LEFT JOIN post_media pm ON pm.media_id = t.id \
                   WHERE m.request_id = $1 AND m.kind = 'media' AND pm.post_id IS NULL",
        },
    },
    Store {
        name: "pause",
        place: Place::Table,
        whose: Whose::Staff,
        why: "what people have stopped; until they let it go on",
        personal: &[("reason", "what somebody wrote")],
        plain: &["scope", "subject", "paused_at", "ends_at", "by_operator"],
        purge: Purge::Rows {
            of: "t.scope IN ('account', 'queue_of_account') \
                 AND split_part('/' || t.subject, '/', -1) IN (\
                     SELECT m.id::text FROM deletion_mark m WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN pause t ON strpos(t.subject, d.account_id::text) > 0 \
                   WHERE d.request_id = $1",
        },
    },
    Store {
        name: "network_bucket",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "how much of a network's allowance is left; until it is full again",
        personal: &[],
        plain: &["lane", "full_at", "promised"],
        purge: Purge::Rows {
            of: "split_part(t.lane, '/a/', 2) IN (\
                     SELECT m.id::text FROM deletion_mark m WHERE m.request_id = $1 AND m.kind = 'account')",
            left: "SELECT count(*) FROM deletion_account d JOIN network_bucket t \
                   ON strpos(t.lane, d.account_id::text) > 0 WHERE d.request_id = $1",
        },
    },
    Store {
        name: "audit_address",
        place: Place::Table,
        whose: Whose::Staff,
        why: "where somebody acted from, to find out who did; retention.addresses, 12 months at most",
        personal: &[("address", "an address on the internet")],
        plain: &["audit_id", "salt"],
        purge: Purge::Rows {
            of: "t.audit_id IN (SELECT a.id FROM audit a JOIN deletion_mark m ON m.id = a.actor_id \
                                WHERE m.request_id = $1 AND m.kind = 'person' \
                                UNION ALL SELECT a.id FROM audit a JOIN deletion_mark m ON m.id::text = a.object_id \
                                WHERE m.request_id = $1 AND m.kind = 'person' AND a.object = 'person')",
            left: "SELECT count(*) FROM deletion_mark m JOIN audit a \
                   ON a.actor_id = m.id OR a.object = 'person' AND a.object_id = m.id::text \
                   JOIN audit_address t ON t.audit_id = a.id WHERE m.request_id = $1 AND m.kind = 'person'",
        },
    },
    Store {
        name: "session",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who is signed in; web.session",
        personal: &[("data", "who it is"), ("person_id", "who it is")],
        plain: &["id", "expires_at", "retired_at", "passed_to"],
        purge: Purge::Rows {
            of: "EXISTS (SELECT FROM deletion_mark m WHERE m.request_id = $1 AND m.kind = 'person' \
                         AND strpos(t.data::text, m.id::text) > 0)",
            left: "SELECT count(*) FROM deletion_mark m JOIN session t ON t.data::text LIKE '%' || m.id::text || '%' \
                   WHERE m.request_id = $1 AND m.kind = 'person'",
        },
    },
    Store {
        name: "vault.connection_secret",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what a network's dialog gave; until accounts are connected or the network has taken it back, a day or so at most",
        personal: &[("sealed", "a code or a token, sealed")],
        plain: &["connection_id", "field", "key_id"],
        purge: of_marked!("vault.connection_secret", "connection_id", "connection"),
    },
    Store {
        name: "connection",
        place: Place::Table,
        whose: Whose::Connection,
        why: "accounts on their way from a network's dialog; a day",
        personal: &[
            ("person_id", "who connects them"),
            ("subject_id", "the network's id of the person who granted them"),
            ("offers", "names and ids of accounts"),
            ("chosen", "ids of accounts"),
            ("why", "a network's words"),
        ],
        plain: &[
            "id",
            "workspace_id",
            "platform",
            "state",
            "state_digest",
            "session_digest",
            "redirect_uri",
            "job_id",
            "created_at",
            "expires_at",
            "ended_at",
            "granted_at",
            "parting",
        ],
        // a person may begin one after all was marked, as long as they are there
        purge: Purge::Rows {
            of: concat!(marked!("id", "connection"), " OR ", marked!("person_id", "person")),
            left: "SELECT count(*) FROM connection t WHERE EXISTS (\
                       SELECT FROM deletion_mark m WHERE m.request_id = $1 \
                         AND (m.kind = 'connection' AND m.id = t.id OR m.kind = 'person' AND m.id = t.person_id))",
        },
    },
    Store {
        name: "report_account",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "which accounts a client is shown; while there is the link, and while the account is connected",
        personal: &[],
        plain: &["report_id", "account_id"],
        purge: of_account!("report_account"),
    },
    Store {
        name: "report",
        place: Place::Table,
        whose: Whose::Staff,
        why: "links by which clients look at numbers; retention.letters after they ended",
        personal: &[("title", "what somebody wrote"), ("created_by", "who made it")],
        plain: &[
            "id",
            "workspace_id",
            "digest",
            "language",
            "days",
            "first_day",
            "last_day",
            "created_at",
            "expires_at",
            "last_used_at",
            "taken_back_at",
        ],
        // one that shows another account too stays, until that goes too: whoever is the last takes it away
        purge: Purge::Rows {
            of: concat!(
                marked!("created_by", "person"),
                " OR ",
                marked!("id", "report"),
                " AND NOT EXISTS (SELECT FROM report_account o WHERE o.report_id = t.id)"
            ),
            left: "SELECT count(*) FROM report t LEFT JOIN report_account o ON o.report_id = t.id \
                   WHERE EXISTS (SELECT FROM deletion_mark m WHERE m.request_id = $1 \
                                 AND (m.kind = 'person' AND m.id = t.created_by \
                                      OR m.kind = 'report' AND m.id = t.id AND o.report_id IS NULL))",
        },
    },
    Store {
        name: "invitation",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who is asked to join; until they have, or retention.letters after it ended",
        personal: &[
            ("email", "an address"),
            ("first_name", "a name"),
            ("last_name", "a name"),
            ("invited_by", "who asked them"),
        ],
        plain: &["id", "workspace_id", "role", "digest", "mail_id", "created_at", "expires_at"],
        purge: of_marked!("invitation", "id", "invitation"),
    },
    Store {
        name: "mail",
        place: Place::Table,
        whose: Whose::Staff,
        why: "letters to people on the staff; retention.letters, without their words once they are sent",
        personal: &[
            ("to_address", "an address"),
            ("subject", "what it is about"),
            ("sealed", "what it says, sealed, until it is sent"),
            ("body", "the same, until a worker has sealed it"),
            ("error", "a mail server's words"),
            ("person_id", "whom it is to"),
        ],
        plain: &["id", "created_at", "worthless_at", "try_at", "tries", "sent_at"],
        purge: of_marked!("mail", "id", "mail"),
    },
    Store {
        name: "password_reset",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who has asked for a new password; until it is set, or an hour",
        personal: &[("person_id", "who")],
        plain: &["digest", "created_at", "expires_at"],
        purge: of_marked!("password_reset", "person_id", "person"),
    },
    Store {
        name: "email_change",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who wishes to be known by another address; until they have proved it, or a day",
        personal: &[("person_id", "who"), ("email", "an address")],
        plain: &["digest", "created_at", "expires_at"],
        purge: of_marked!("email_change", "person_id", "person"),
    },
    Store {
        name: "person_identity",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who signs in elsewhere, and as whom; while they are on the staff",
        personal: &[("subject", "what they are called there"), ("person_id", "who")],
        plain: &["issuer", "created_at"],
        purge: of_marked!("person_identity", "person_id", "person"),
    },
    Store {
        name: "membership",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who may do what; while they are on the staff",
        personal: &[("person_id", "who")],
        plain: &["workspace_id", "role"],
        purge: of_marked!("membership", "person_id", "person"),
    },
    Store {
        name: "person",
        place: Place::Table,
        whose: Whose::Staff,
        why: "who may sign in; while they are on the staff",
        personal: &[
            ("email", "an address"),
            ("first_name", "a name"),
            ("last_name", "a name"),
            ("password_hash", "what a password is compared with"),
        ],
        plain: &["id", "created_at"],
        purge: of_marked!("person", "id", "person"),
    },
    Store {
        name: "vault.token",
        place: Place::Table,
        whose: Whose::Connection,
        why: "to publish for the account; while the connection lives, and a day longer at most",
        personal: &[("sealed", "a token, sealed")],
        plain: &["account_id", "field", "generation", "key_id", "issued_at", "expires_at"],
        purge: of_account!("vault.token"),
    },
    Store {
        name: "vault.data_key",
        place: Place::Table,
        whose: Whose::Connection,
        why: "what the account's tokens are sealed under; as long as they are, and destroyed with them: without it no copy of \
              them opens",
        personal: &[("sealed", "the key of a person's tokens, sealed")],
        plain: &["account_id", "id", "cipher", "key_id", "created_at"],
        purge: of_account!("vault.data_key"),
    },
    Store {
        name: "account",
        place: Place::Table,
        whose: Whose::Connection,
        why: WHILE_CONNECTED,
        personal: &[
            ("external_id", "the network's id of the account"),
            ("name", "what people call it"),
            ("state_reason", "a network's words"),
            ("subject_id", "the network's id of the person who connected it"),
            ("subject_email", "that person's address"),
            ("defaults", "what posts leave out"),
            ("connected_by", "who on the staff connected it"),
            ("disconnected_by", "who on the staff, or which key, disconnected it"),
        ],
        plain: &[
            "id",
            "workspace_id",
            "platform",
            "state",
            "token_generation",
            "token_expires_at",
            "frozen_at",
            "resting_until",
            "created_at",
            "connected_at",
            "facts_due_at",
            "refresh_state",
            "refresh_call",
            "refresh_due_at",
            "refresh_wait",
            "refresh_asked_at",
            "refreshed_at",
            "renewable",
            "renewable_until",
            "data_access_expires_at",
            "missing_scopes",
            "deletion_id",
            "disconnected_at",
            "disconnected_how",
            "parting",
        ],
        purge: Purge::Rows {
            of: marked!("id", "account"),
            left: "SELECT count(*) FROM deletion_account d JOIN account t ON t.id = d.account_id \
                   WHERE d.request_id = $1",
        },
    },
    Store {
        name: "files",
        place: Place::Bucket,
        whose: Whose::Connection,
        why: "pictures and films of posts, and what is made of them; as long as their rows",
        personal: &[],
        plain: &[],
        purge: Purge::Objects,
    },
    Store {
        name: "spare_object",
        place: Place::Table,
        whose: Whose::Nobody,
        why: "files that are to be removed; until they are",
        personal: &[],
        plain: &["object_key", "remove_at", "taken", "parts"],
        purge: Purge::Rows {
            of: "t.object_key IN (SELECT o.object_key FROM deletion_object o WHERE o.request_id = $1 AND o.erased)",
            left: "SELECT count(*) FROM deletion_object o JOIN spare_object t ON t.object_key = o.object_key \
                   WHERE o.request_id = $1 AND o.erased",
        },
    },
];
