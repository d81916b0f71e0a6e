\set job 0
insert into jobs (payload) values ('a job') returning id;
with next as (select id from jobs where status = 'queued' order by id limit 1 for update skip locked)
update jobs set status = 'running', token = token + 1 from next where jobs.id = next.id returning jobs.id as job \aset
update jobs set status = 'done' where id = :job and status = 'running';
