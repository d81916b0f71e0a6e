alter table templates add column shops int not null default 0 check (shops >= 0);

comment on column templates.shops is 'how many shops use it, as Backend last reported; a statistic and no more';
