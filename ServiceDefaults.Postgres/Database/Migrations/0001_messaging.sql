-- What is to be sent. A row is deleted once its receiver has taken it, so the table stays as small as the backlog.
create table outbox (
  id             uuid        primary key,
  destination    text        not null,
  partition_key  uuid        not null,
  sequence       bigint      not null,
  type           text        not null,
  subject        text        not null,
  data           jsonb       not null,
  traceparent    text,
  correlation_id text,
  created_at     timestamptz not null default now(),
  -- a dead letter stays in its place: order within the key is kept when it is redriven
  dead_at        timestamptz,
  refusals       int         not null default 0,
  last_error     text,
  unique (destination, partition_key, sequence)
);
create index outbox_dead on outbox (id) where dead_at is not null;

-- One row for each ordered stream of messages. Dispatchers claim keys, not messages: what one key has is sent by one process, in order.
create table outbox_keys (
  destination     text        not null,
  partition_key   uuid        not null,
  -- given out under this row's lock, so that order of commit is order of sequence
  last_sequence   bigint      not null,
  -- a counter and not "exists (select from outbox)": a claim that waited for this row's lock sees the count anew, but not other rows
  pending         int         not null default 0,
  -- a dead letter heads the key: nothing of it is sent until that is redriven or discarded
  held            boolean     not null default false,
  failures        int         not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease           uuid,
  lease_until     timestamptz not null default '-infinity',
  primary key (destination, partition_key)
);
create index outbox_keys_due on outbox_keys (destination, next_attempt_at) where pending > 0 and not held;

-- The pace towards a receiver that does not answer is kept here and not in the processes, so that it doesn't grow with their number.
create table outbox_destinations (
  destination     text        primary key,
  failures        int         not null default 0,
  not_before      timestamptz not null default '-infinity',
  -- who may try while the receiver is thought to be away
  trial           uuid,
  last_error      text,
  last_failure_at timestamptz,
  last_success_at timestamptz
);

-- What was taken. Written in the transaction of the handler's effects: both are there, or neither.
create table inbox (
  source      text        not null,
  id          text        not null,
  received_at timestamptz not null default now(),
  primary key (source, id)
);
create index inbox_received on inbox (received_at);

-- Outlives the pruning of inbox: a message that comes again after weeks is still known to be old.
create table inbox_sequences (
  source        text   not null,
  partition_key uuid   not null,
  last_sequence bigint not null,
  primary key (source, partition_key)
);

-- Failures of a handler, counted outside the transaction that failed. Enough of them make a message poison.
create table inbox_failures (
  source         text        not null,
  id             text        not null,
  failures       int         not null,
  last_error     text        not null,
  last_failed_at timestamptz not null default now(),
  primary key (source, id)
);
