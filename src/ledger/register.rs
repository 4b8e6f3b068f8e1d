//! The register of personal data: every table and every other store, what it holds of whom, why and for how long, and how
//! it is emptied of one person.
//!
//! This is the only place that says so. Deleting goes through it in its order, looking again goes by its second
//! statement, and a test compares its columns with those of a migrated database: a column that nobody declared here
//! fails it.

mod emptied;
mod kept;

/// A store, and what becomes of what it holds.
#[derive(Debug, Clone, Copy)]
pub struct Store {
    /// The table, with its schema unless that is `public`; or another name.
    pub name: &'static str,
    /// Where it is.
    pub place: Place,
    /// Whom it tells something about.
    pub whose: Whose,
    /// What it is kept for, and how long if nobody asks for its deletion.
    pub why: &'static str,
    /// Columns that hold personal data, and what that is.
    pub personal: &'static [(&'static str, &'static str)],
    /// Columns that do not: ids of our own, times, states, counts, keys of machines.
    pub plain: &'static [&'static str],
    /// How it is emptied.
    pub purge: Purge,
}

/// Where a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A table.
    Table,
    /// The bucket.
    Bucket,
    /// Redis.
    Redis,
}

/// Whom a store tells something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The person who connected an account, and the people whom what is published there shows.
    Connection,
    /// Somebody on the staff.
    Staff,
    /// Whoever asked for a deletion.
    Asker,
    /// Nobody.
    Nobody,
}

/// How a store is emptied of one request's data. `$1` is the request, `t` the row.
#[derive(Debug, Clone, Copy)]
pub enum Purge {
    /// Rows go that this condition holds of; the query counts, by another way, those that are left.
    Rows {
        /// The condition.
        of: &'static str,
        /// The query.
        left: &'static str,
    },
    /// Each object with what was made of it, all versions and all parts.
    Objects,
    /// Nothing of it has to go, for this reason.
    Stays(&'static str),
}

/// Every store: those that something is removed from come first, in order.
pub fn all() -> impl Iterator<Item = &'static Store> {
    emptied::EMPTIED.iter().chain(kept::KEPT)
}

/// The stores that something is removed from, in order.
pub fn emptied() -> &'static [Store] {
    emptied::EMPTIED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_is_declared_once_and_each_of_its_columns_once() {
        for (n, store) in all().enumerate() {
            assert!(all().skip(n + 1).all(|other| other.name != store.name), "{} twice", store.name);
            let columns: Vec<_> =
                store.personal.iter().map(|(name, _)| *name).chain(store.plain.iter().copied()).collect();
            for (n, column) in columns.iter().enumerate() {
                assert!(!columns[n + 1..].contains(column), "{}.{column} twice", store.name);
            }
        }
    }

    #[test]
    fn what_is_emptied_is_apart_from_what_stays() {
        assert!(emptied().iter().all(|store| !matches!(store.purge, Purge::Stays(_))));
        assert!(kept::KEPT.iter().all(|store| matches!(store.purge, Purge::Stays(_))));
    }

    #[test]
    fn what_is_looked_at_again_is_looked_at_otherwise() {
        for store in all() {
            if let Purge::Rows { of, left } = store.purge {
                assert!(!left.contains(of), "{} is looked at by what it was emptied by", store.name);
                assert!(
                    of.contains("$1") && left.contains("$1"),
                    "{} is not bound to its request",
                    store.name
                );
            }
        }
    }

    #[test]
    fn what_holds_something_of_a_person_is_emptied_or_says_why_not() {
        for store in all().filter(|store| !store.personal.is_empty()) {
            let stays = matches!(store.purge, Purge::Stays(_));
            assert!(!stays || store.name.starts_with("deletion_"), "{} keeps personal data", store.name);
        }
    }
}
