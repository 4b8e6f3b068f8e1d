-- A definite no of our own: no byte of the call was sent (T8'), so there is nothing that it could have done. Of any other
-- no the network's word is all there is.
ALTER TABLE remote_call ADD COLUMN unsent boolean NOT NULL DEFAULT false;
