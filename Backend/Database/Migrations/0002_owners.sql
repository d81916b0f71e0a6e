-- Who has shops, and the keys that they show.
create table owners (
  id uuid primary key,
  name text not null,
  issuer text,                         -- with subject: who it is to an OpenID Connect provider; both null for an owner that an administrator made
  subject text,
  created_at timestamptz not null default now(),
  constraint owners_identity_key unique (issuer, subject),
  check ((issuer is null) = (subject is null))
);

-- The owner of the key in the configuration, and of all shops that were made before there were owners.
insert into owners (id, name) values ('00000000-0000-7000-8000-000000000001', 'administrator');

create table api_keys (
  id uuid primary key,
  owner_id uuid not null references owners,
  name text not null,
  digest bytea not null constraint api_keys_digest_key unique,  -- SHA-256: the key itself has 256 random bits and is kept nowhere
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz             -- to the hour, so that not every request is a write
);
create index api_keys_of_owner on api_keys (owner_id);

-- A former version that runs beside this one names no owner: its shops are the administrator's.
alter table shops add owner_id uuid not null default '00000000-0000-7000-8000-000000000001' references owners;
create index shops_of_owner on shops (owner_id, id desc);

-- Outlives the shop. Null: an earlier version's, which is its shop's owner's.
alter table deployments add owner_id uuid;

-- What sessions and forms are sealed with, the same for all replicas; itself encrypted with the internal token.
create table data_protection_keys (
  id bigint generated always as identity primary key,
  name text not null,
  xml text not null,
  created_at timestamptz not null default now()
);
