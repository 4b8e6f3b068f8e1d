-- Whoever connected an account in the console is the person whom a deletion by their address covers it for, and who is told
-- when their network asks for one. Up to now only accounts that the shell connected had an address. What is being deleted
-- already has its request.
UPDATE account a SET subject_email = p.email
FROM person p WHERE p.id = a.connected_by AND a.subject_email IS NULL AND a.deletion_id IS NULL;
