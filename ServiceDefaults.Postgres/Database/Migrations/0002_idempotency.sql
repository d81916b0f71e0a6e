-- One row for each Idempotency-Key in use. Claimed in a transaction of its own, answered in the transaction of the effect.
create table idempotency_keys (
  caller        text        not null,
  key           text        not null,
  -- SHA-256 of method, path, query, If-Match and body: the same key with another request is a mistake of the client's
  fingerprint   bytea       not null,
  -- who works on it; every write is conditional on it, so that one whose claim was taken over changes nothing
  claim         uuid        not null,
  claimed_until timestamptz not null,
  -- null until there is a final answer
  status        int,
  headers       jsonb,
  body          bytea,
  created_at    timestamptz not null default now(),
  expires_at    timestamptz not null,
  primary key (caller, key)
);
create index idempotency_keys_expires on idempotency_keys (expires_at);
