-- Every service has `processes` now. Workers that run while this happens stay known: their locks are of the same class.
insert into processes (id, lock_key, service, host, process_id, version, started_at)
select id, lock_key, 'StoreDeployer', host, process_id, version, started_at from workers;
select setval('process_lock_keys', (select max(lock_key) from processes)) where exists (select from processes);
drop table workers;
drop sequence worker_lock_keys;
