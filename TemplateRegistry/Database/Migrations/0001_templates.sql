-- The bytes that versions point to. Zips are compressed already, so PostgreSQL need not try again.
create table bundles (
  digest     text        primary key check (digest ~ '^sha256:[0-9a-f]{64}$'),
  content    bytea       not null,
  size       int         not null generated always as (octet_length(content)) stored,
  created_at timestamptz not null default now());

alter table bundles alter column content set storage external;

-- One row is the lock under which a template's versions change and its two pointers are found anew.
create table templates (
  name           text        collate "C" primary key,
  latest_version text,
  listed_version text,
  created_at     timestamptz not null default now());

comment on column templates.latest_version is 'what a shop gets that asks for no version: the highest release, else pre-release, that is neither deprecated nor yanked';
comment on column templates.listed_version is 'whose title is shown: the latest version, else the highest deprecated one; null hides the template, all of whose versions are yanked';

-- A version never changes but in its status, and is never deleted.
create table template_versions (
  name              text        collate "C" not null references templates,
  version           text        collate "C" not null,
  digest            text        not null references bundles,
  title             text        not null,
  description       text        not null,
  parameters        jsonb       not null,
  status            text        not null default 'published' check (status in ('published', 'deprecated', 'yanked')),
  published_at      timestamptz not null default now(),
  status_changed_at timestamptz not null default now(),
  primary key (name, version));

create index template_versions_digest on template_versions (digest);

alter table templates
  add foreign key (name, latest_version) references template_versions (name, version),
  add foreign key (name, listed_version) references template_versions (name, version);
