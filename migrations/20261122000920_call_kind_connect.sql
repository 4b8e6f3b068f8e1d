-- The exchange of what a network's dialog gave for access.
ALTER TYPE call_kind ADD VALUE 'connect';
