-- The processes that claim things. A session of each holds the advisory lock of its lock_key as long as the process lives.
create table processes (
  id         uuid        primary key,
  lock_key   int         not null unique,
  service    text        not null,
  host       text        not null,
  process_id int         not null,
  version    text        not null,
  started_at timestamptz not null default now()
);

create sequence process_lock_keys as int cycle;

-- The process that holds the lease; when that is gone, so is the lease. Null: an earlier version's, or one that had no session just then.
alter table outbox_keys add owner uuid;
alter table outbox_destinations add trial_owner uuid;
