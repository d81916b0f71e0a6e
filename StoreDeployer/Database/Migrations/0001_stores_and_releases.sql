-- One row per shop that ever asked for a deployment. Its lock orders everything that moves the pointer, and is taken before any
-- lock on the shop's deployments.
create table stores (
  shop_id uuid primary key,
  slug text not null,
  active_release uuid,
  -- Sequence of the deployment or rollback that set the pointer; the pointer never moves to an older one.
  active_sequence bigint not null default 0,
  taken_down_at timestamptz,
  changed_at timestamptz not null default now()
);

create index stores_by_slug on stores (slug);
create unique index stores_one_live_per_slug on stores (slug) where active_release is not null and taken_down_at is null;
create index stores_by_change on stores (changed_at);

create table deployments (
  id uuid primary key,
  shop_id uuid not null references stores,
  -- The order in which the shop's deployments were accepted.
  sequence bigint not null,
  kind text not null check (kind in ('deployment', 'rollback')),
  priority smallint not null check (priority between 0 and 2),
  slug text not null,
  template_name text,
  template_version text,
  template_digest text,
  -- The shop as it was when the deployment was accepted: name, settings, products.
  spec jsonb not null,
  rollback_to uuid,
  status text not null default 'queued' check (status in ('queued', 'running', 'live', 'failed', 'superseded', 'cancelled')),
  -- Hand-backs in a row because something could not be reached: they set the back-off and nothing else.
  waits int not null default 0,
  lost_leases int not null default 0,
  worker uuid,
  fencing_token bigint not null default 0,
  lease_until timestamptz,
  available_at timestamptz not null default now(),
  -- Place in the line: a newer deployment inherits it from the one it supersedes, so that a shop that redeploys often is not starved.
  queued_at timestamptz not null default now(),
  cancel_requested_at timestamptz,
  error jsonb,
  release uuid,
  correlation_id text,
  traceparent text,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  check ((status = 'running') = (worker is not null)),
  check ((status = 'running') = (lease_until is not null)),
  check ((status in ('queued', 'running')) = (finished_at is null)),
  unique (shop_id, sequence)
);

create index deployments_claimable on deployments (priority, queued_at, id) include (available_at, shop_id) where status = 'queued';
create unique index deployments_one_running_per_shop on deployments (shop_id) where status = 'running';
create index deployments_queued_by_shop on deployments (shop_id, sequence) where status = 'queued';
create index deployments_by_status on deployments (status, id desc);

create table deployment_steps (
  deployment_id uuid not null references deployments on delete cascade,
  position smallint not null,
  name text not null,
  started_at timestamptz,
  finished_at timestamptz,
  -- Tries that ran to their end, or are running. A try that ended because something could not be reached, or with its worker, is not one.
  attempts int not null default 0,
  -- Tries that failed by the step's own fault since the deployment was asked for or retried.
  failures int not null default 0,
  error jsonb,
  primary key (deployment_id, position)
);

-- The replicas. A session of each holds the advisory lock (class 'depl', lock_key) as long as the process lives.
create table workers (
  id uuid primary key,
  lock_key int not null unique,
  host text not null,
  process_id int not null,
  version text not null,
  started_at timestamptz not null default now()
);

create sequence worker_lock_keys as int cycle;

create table releases (
  id uuid primary key,
  shop_id uuid not null references stores,
  deployment_id uuid not null unique references deployments,
  template_name text,
  template_version text,
  template_digest text,
  created_at timestamptz not null default now(),
  activated_at timestamptz
);

create index releases_by_shop on releases (shop_id, created_at desc);

alter table stores add constraint stores_active_release_fkey foreign key (active_release) references releases;

create table files (
  digest bytea primary key check (octet_length(digest) = 32),
  size int not null,
  content bytea not null,
  created_at timestamptz not null default now()
);

-- Pages and pictures: compressing the former again at each write costs more than the space, the latter can't be.
alter table files alter column content set storage external;

create table release_files (
  release_id uuid not null references releases on delete cascade,
  path text not null,
  digest bytea not null references files,
  content_type text not null,
  primary key (release_id, path)
);

create index release_files_by_digest on release_files (digest);
