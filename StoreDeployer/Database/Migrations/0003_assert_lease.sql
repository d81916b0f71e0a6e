-- The fence: refuses the transaction of a worker whose lease is lost, so that everything which stands on the lease can be sent together with this check. Otherwise the
-- deployment stays locked until the transaction ends. "PL001" is the platform's own code.
create function assert_lease(deployment uuid, holder uuid, token bigint) returns void language plpgsql as $$
begin
  perform from deployments where id = deployment and worker = holder and fencing_token = token and status = 'running' for no key update;
  if not found then
    raise exception 'The lease % on deployment % is lost.', token, deployment using errcode = 'PL001';
  end if;
end
$$;
