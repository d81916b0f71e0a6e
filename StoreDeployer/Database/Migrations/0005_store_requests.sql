-- When a store was last requested, to within an hour. Not a column of stores: recording a request must neither wait for a deployment's lock on the store's row nor delay it.
create table store_requests (
  slug text primary key,
  requested_at timestamptz not null
);

create index store_requests_by_time on store_requests (requested_at desc, slug desc);
