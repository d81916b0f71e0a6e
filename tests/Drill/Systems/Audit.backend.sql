-- Audit tables: record every change of a status and every message of Backend, in the transaction that makes it.
create schema drill;
create sequence drill.serial;

create table drill.deployments (
  serial bigint not null default nextval('drill.serial'), at timestamptz not null default clock_timestamp(),
  id uuid not null, shop_id uuid not null, old_status text, status text not null, events int not null);
create table drill.messages (
  serial bigint not null default nextval('drill.serial'), at timestamptz not null default clock_timestamp(),
  id uuid not null, partition_key uuid not null, sequence bigint not null, type text not null, subject text not null, data jsonb not null);

create function drill.note_deployment() returns trigger language plpgsql security definer as $$
begin
  insert into drill.deployments (id, shop_id, old_status, status, events)
  values (new.id, new.shop_id, case when tg_op = 'UPDATE' then old.status end, new.status, new.events);
  return null;
end $$;
create trigger drill_changed after insert or update on deployments for each row execute function drill.note_deployment();

create function drill.note_message() returns trigger language plpgsql security definer as $$
begin
  insert into drill.messages (id, partition_key, sequence, type, subject, data)
  values (new.id, new.partition_key, new.sequence, new.type, new.subject, new.data);
  return null;
end $$;
create trigger drill_sent after insert on outbox for each row execute function drill.note_message();
