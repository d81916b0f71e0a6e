-- What a merchant says about a shop, and what the platform knows of its store.
create table shops (
  id uuid primary key,
  slug text not null constraint shops_slug_key unique,
  name text not null,
  template_name text not null,
  template_version text not null,
  template_digest text not null,       -- a version's digest never changes, so deploying needs no call to the registry
  settings jsonb not null,
  products jsonb not null,
  version integer not null default 1,  -- counts the merchant's edits: what If-Match compares
  changes integer not null default 0,  -- counts the platform's own changes (status, url): the rest of the ETag
  status text not null default 'draft' check (status in ('draft', 'live', 'deleting')),
  url text,
  release uuid,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create sequence activations;

-- Without a foreign key to shops: whoever was told that a deployment is accepted can read how it ended, also when the shop is gone.
create table deployments (
  id uuid primary key,
  shop_id uuid not null,
  kind text not null check (kind in ('deployment', 'rollback')),
  template_name text not null,
  template_version text not null,
  template_digest text not null,
  status text not null default 'queued' check (status in ('queued', 'running', 'live', 'failed', 'superseded', 'cancelled')),
  steps jsonb not null default '[]',
  url text,
  release uuid,
  rollback_to uuid,
  error jsonb,
  activation bigint,                   -- from the sequence: the order in which deployments went live, which no clock can disturb
  events integer not null default 0,   -- the number of its last event
  cancel_requested_at timestamptz,
  created_at timestamptz not null,
  finished_at timestamptz,
  check ((status in ('live', 'failed', 'superseded', 'cancelled')) = (finished_at is not null)),
  check ((status = 'live') = (activation is not null))
);

create index deployments_of_shop on deployments (shop_id, id desc);
create index deployments_gone_live on deployments (shop_id, activation desc) where status = 'live';

-- Numbered per deployment under its row lock, so that a reader who has seen n has seen everything up to n.
create table deployment_events (
  deployment_id uuid not null references deployments on delete cascade,
  number integer not null,
  deployment json not null,            -- the deployment as it was then, as the API writes it
  at timestamptz not null,
  primary key (deployment_id, number)
);

-- The registry's last good answers, for when it cannot be asked.
create table template_cache (
  key text primary key,
  answer jsonb not null,
  fetched_at timestamptz not null
);
