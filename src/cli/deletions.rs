//! `delete-subject`, `deletion …` and `verify-receipt`: privacy work from the shell.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failed, Output, owned_ledger, workspace};
use crate::{
    config,
    ledger::{
        Ledger,
        audit::{Action, Entry},
        deletions::{Asking, Origin, Shown, Subject},
        signing,
        tombstones::recipient_key,
    },
    web::deletion::Code,
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum DeletionVerb {
    /// Asks for the deletion of everything that is known of somebody. From this moment nothing of it is published.
    #[command(
        after_help = "Example:\n  postroom deletion request --email dana@example.com --mail --reason \"mail of 3 May\""
    )]
    Request(New),
    /// The last requests, newest first.
    #[command(after_help = "Example:\n  postroom deletion list")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// How far a request is.
    #[command(after_help = "Example:\n  postroom deletion show 0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b")]
    Show {
        /// The request.
        request: Uuid,
        #[command(flatten)]
        output: Output,
    },
    /// Prints the signed receipt of a request.
    #[command(
        after_help = "Example:\n  postroom deletion receipt 0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b > receipt.json"
    )]
    Receipt {
        /// The request.
        request: Uuid,
    },
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// The person's address: of who connected accounts, or of somebody on the staff.
    #[arg(long, required_unless_present_any = ["account", "meta_user_id"])]
    email: Option<String>,
    /// An account by its id; may be repeated.
    #[arg(long, value_name = "ID")]
    account: Vec<Uuid>,
    /// The person's app-scoped id at Meta.
    #[arg(long, value_name = "ID")]
    meta_user_id: Option<String>,
    /// Only what is of this workspace, by id or name.
    #[arg(long)]
    workspace: Option<String>,
    /// It came by mail.
    #[arg(long)]
    mail: bool,
    /// Hebrew instead of English, for the confirmation.
    #[arg(long)]
    hebrew: bool,
    /// Why. Kept until the request is done.
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl New {
    fn origin(&self) -> Origin {
        match (self.mail, self.email.is_some() || self.meta_user_id.is_some()) {
            (true, _) => Origin::Mail,
            (false, true) => Origin::Staff,
            (false, false) => Origin::Account,
        }
    }

    pub(super) async fn run(self) -> Result<(), Failed> {
        let (ledger, ring) = (owned_ledger()?, wiring::key_ring()?);
        let workspace_id = match &self.workspace {
            Some(named) => Some(workspace(&ledger, named).await?.id),
            None => None,
        };
        let code = Code::fresh();
        let asking = Asking {
            origin: self.origin(),
            subject: Subject {
                meta_user_id: self.meta_user_id.as_deref(),
                email: self.email.as_deref(),
                accounts: &self.account,
                workspace_id,
            },
            code_digest: code.digest(),
            asked_digest: None,
            signed: (None, None),
            language: if self.hebrew { "he" } else { "en" },
            reason: self.reason.as_deref(),
            asked_by: None,
        };
        // the code is kept nowhere: what shows it has to be there before
        let base = config::required("PUBLIC_URL", "the address the outside sees")?;
        let (accepted, _) = ledger.accept_deletion(&ring, &asking).await?;
        keep(&ledger, accepted.id).await;
        let url = format!("{}/privacy/requests/{}", base.trim_end_matches('/'), code.as_str());
        if self.output.json {
            let accounts = accepted.accounts;
            println!(
                "{}",
                json!({ "id": accepted.id, "code": code.as_str(), "url": url, "accounts": accounts })
            );
        } else {
            println!(
                "request {}: {} accounts are frozen and will be deleted",
                accepted.id, accepted.accounts
            );
            println!("its state, for the person: {url}");
        }
        Ok(())
    }
}

/// What a restore needs of a request is kept outside of the ledger within this, or else by whoever carries it out.
const KEEP_WITHIN: Duration = Duration::from_secs(5);

/// It is accepted whatever comes of this, and its code is told.
async fn keep(ledger: &Ledger, request: Uuid) {
    let slow = |_| Err("the store took too long".to_owned());
    let kept = tokio::time::timeout(KEEP_WITHIN, keep_all(ledger, request)).await;
    if let Err(why) = kept.unwrap_or_else(slow) {
        eprintln!("what a restore needs of this is not kept yet; a worker does it: {why}");
    }
}

/// What comes too late, after the person was told, is taken away again.
async fn keep_all(ledger: &Ledger, request: Uuid) -> Result<(), String> {
    wiring::keep(ledger.keepsakes(request).await.map_err(|error| error.to_string())?).await?;
    if ledger.keepsakes_kept(request).await.map_err(|error| error.to_string())? {
        return Ok(());
    }
    wiring::erase(&recipient_key(request)).await
}

impl DeletionVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        match self {
            Self::Request(new) => new.run().await,
            Self::List { output } => {
                let all = owned_ledger()?.deletions(100).await?;
                if output.json {
                    println!("{}", json!({ "data": all.iter().map(shape).collect::<Vec<_>>() }));
                } else {
                    all.iter().for_each(print);
                }
                Ok(())
            }
            Self::Show { request, output } => {
                let shown = find(&owned_ledger()?, request).await?;
                if output.json {
                    println!("{}", shape(&shown));
                } else {
                    print(&shown);
                }
                Ok(())
            }
            Self::Receipt { request } => {
                let shown = find(&owned_ledger()?, request).await?;
                let signed = shown
                    .receipt
                    .ok_or_else(|| format!("request {request} is {}: no receipt yet", shown.stage.word()))?;
                println!("{}", signing::file(&signed));
                Ok(())
            }
        }
    }
}

async fn find(ledger: &Ledger, request: Uuid) -> Result<Shown, Failed> {
    Ok(ledger.deletion(request).await?.ok_or_else(|| format!("there is no request {request}"))?)
}

fn shape(it: &Shown) -> Value {
    json!({
        "id": it.id,
        "origin": it.origin.word(),
        "state": it.stage.word(),
        "accounts": it.accounts,
        "received_at": it.received_at,
        "moved_at": it.moved_at,
        "tokens_gone_at": it.shredded_at,
        "verified_at": it.verified_at,
        "done_at": it.done_at,
    })
}

fn print(it: &Shown) {
    let (origin, stage, since) = (it.origin.word(), it.stage.word(), it.moved_at.to_rfc3339());
    println!("{}  {origin:<7}  {stage} since {since}, {} accounts", it.id, it.accounts);
}

#[derive(Debug, Args)]
pub(super) struct ExportSubject {
    /// The person's address: of who connected accounts, or of somebody on the staff.
    #[arg(long, required_unless_present_any = ["account", "meta_user_id"])]
    email: Option<String>,
    /// An account by its id; may be repeated.
    #[arg(long, value_name = "ID")]
    account: Vec<Uuid>,
    /// The person's app-scoped id at Meta.
    #[arg(long, value_name = "ID")]
    meta_user_id: Option<String>,
    /// Only what is of this workspace, by id or name.
    #[arg(long)]
    workspace: Option<String>,
}

impl ExportSubject {
    /// Prints one JSON object a line: a store and a row of it.
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        let workspace_id = match &self.workspace {
            Some(named) => Some(workspace(&ledger, named).await?.id),
            None => None,
        };
        let subject = Subject {
            meta_user_id: self.meta_user_id.as_deref(),
            email: self.email.as_deref(),
            accounts: &self.account,
            workspace_id,
        };
        // it is written down before anything is given out
        ledger.audit(&asked(&ledger, &subject).await?).await?;
        let rows = ledger
            .export(&subject, |store, row| println!("{}", json!({ "store": store, "row": row })))
            .await?;
        eprintln!("{rows} rows; the files are in the object store under the keys of `media`");
        Ok(())
    }
}

/// What is written down of an export: of somebody on the staff, who it is; of others, the accounts that were named. The
/// address is not kept.
async fn asked(ledger: &Ledger, of: &Subject<'_>) -> Result<Entry<'static>, Failed> {
    let person = match of.email {
        Some(email) => ledger.credential(email).await?.map(|it| it.person_id),
        None => None,
    };
    let given = [
        ("email", of.email.is_some()),
        ("account", !of.accounts.is_empty()),
        ("meta_user_id", of.meta_user_id.is_some()),
    ];
    let by: Vec<&str> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    Ok(Entry {
        who: ledger.who(),
        action: Action::ExportAsked,
        object: "person",
        object_id: person.map_or_else(|| "unknown".to_owned(), |id| id.to_string()),
        workspace_id: of.workspace_id,
        detail: json!({ "by": by, "accounts": of.accounts }),
    })
}

#[derive(Debug, Args)]
pub(super) struct VerifyReceipt {
    /// The receipt's file.
    file: PathBuf,
    /// The key that has to have signed it, as PEM: from `/.well-known/receipt-keys/KEY` of whoever gave the receipt.
    /// Without it the key in the receipt itself is taken, and the receipt proves only that it was not changed since.
    #[arg(long, value_name = "PEM", conflicts_with = "from_store")]
    key: Option<PathBuf>,
    /// Takes that key from the object store, where each is kept for when the ledger is lost.
    #[arg(long)]
    from_store: bool,
    #[command(flatten)]
    output: Output,
}

impl VerifyReceipt {
    /// Needs no ledger, and no network unless the key is taken from the store.
    pub(super) async fn run(self) -> Result<(), Failed> {
        let text =
            std::fs::read_to_string(&self.file).map_err(|e| format!("{}: {e}", self.file.display()))?;
        let key = match &self.key {
            Some(file) => {
                Some(std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?)
            }
            None if self.from_store => Some(kept_key(&text).await?),
            None => None,
        };
        let verified = signing::verify(&text, key.as_deref())?;
        if self.output.json {
            let (key_id, trusted) = (&verified.key_id, verified.trusted);
            println!(
                "{}",
                json!({ "valid": true, "key_id": key_id, "key_was_given": trusted, "receipt": verified.receipt })
            );
            return Ok(());
        }
        println!("the signature holds: this is what key {} signed", verified.key_id);
        if !verified.trusted {
            println!(
                "the key is the receipt's own: compare it with the one that its issuer publishes, or give --key"
            );
        }
        println!("{:#}", verified.receipt);
        Ok(())
    }
}

/// The key that a receipt says it is signed by, as the object store has it.
async fn kept_key(receipt: &str) -> Result<String, Failed> {
    let id = signing::signed_by(receipt)?;
    let kept = wiring::kept_at(&signing::kept_at(&id)).await?;
    let pem = kept.ok_or_else(|| format!("the object store has no key {id}: this house did not sign it"))?;
    Ok(String::from_utf8(pem).map_err(|_| format!("what the object store has as key {id} is none"))?)
}
