-- Audit tables: record every change of an active release or a status and every message of StoreDeployer, in the transaction that makes it.
create schema drill;
create sequence drill.serial;

create table drill.deployments (
  serial bigint not null default nextval('drill.serial'), at timestamptz not null default clock_timestamp(),
  id uuid not null, shop_id uuid not null, sequence bigint not null, kind text not null, old_status text, status text not null,
  old_worker uuid, worker uuid, old_token bigint, token bigint not null, old_lost int, lost int not null, release uuid);
create table drill.pointers (
  serial bigint not null default nextval('drill.serial'), at timestamptz not null default clock_timestamp(),
  shop_id uuid not null, old_sequence bigint, sequence bigint not null, release uuid, taken_down boolean not null, pages bigint not null);
create table drill.messages (
  serial bigint not null default nextval('drill.serial'), at timestamptz not null default clock_timestamp(),
  id uuid not null, partition_key uuid not null, sequence bigint not null, type text not null, subject text not null, data jsonb not null);
create table drill.processes (id uuid not null, process_id int not null);
insert into drill.processes (id, process_id) select id, process_id from processes;

create function drill.note_deployment() returns trigger language plpgsql security definer as $$
begin
  insert into drill.deployments (id, shop_id, sequence, kind, old_status, status, old_worker, worker, old_token, token, old_lost, lost, release)
  values (new.id, new.shop_id, new.sequence, new.kind, case when tg_op = 'UPDATE' then old.status end, new.status,
    case when tg_op = 'UPDATE' then old.worker end, new.worker, case when tg_op = 'UPDATE' then old.fencing_token end, new.fencing_token,
    case when tg_op = 'UPDATE' then old.lost_leases end, new.lost_leases, new.release);
  return null;
end $$;
create trigger drill_inserted after insert on deployments for each row execute function drill.note_deployment();
create trigger drill_changed after update on deployments for each row
  when ((old.status, old.worker, old.fencing_token, old.release) is distinct from (new.status, new.worker, new.fencing_token, new.release))
  execute function drill.note_deployment();

create function drill.note_pointer() returns trigger language plpgsql security definer as $$
begin
  insert into drill.pointers (shop_id, old_sequence, sequence, release, taken_down, pages)
  values (new.shop_id, old.active_sequence, new.active_sequence, new.active_release, new.taken_down_at is not null,
    (select count(*) from release_files r join files f on f.digest = r.digest where r.release_id = new.active_release and r.path in ('index.html', '404.html')));
  return null;
end $$;
-- Fires also if the values don't change: setting the pointer to the same release again would be a second activation.
create trigger drill_moved after update of active_release, active_sequence on stores for each row execute function drill.note_pointer();

create function drill.note_message() returns trigger language plpgsql security definer as $$
begin
  insert into drill.messages (id, partition_key, sequence, type, subject, data)
  values (new.id, new.partition_key, new.sequence, new.type, new.subject, new.data);
  return null;
end $$;
create trigger drill_sent after insert on outbox for each row execute function drill.note_message();

create function drill.note_process() returns trigger language plpgsql security definer as $$
begin
  insert into drill.processes (id, process_id) values (new.id, new.process_id);
  return null;
end $$;
create trigger drill_joined after insert on processes for each row execute function drill.note_process();
