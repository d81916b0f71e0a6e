-- The catalogue as rows: products, variants and collections. Amounts are whole numbers of the currency's minor unit (ISO 4217).

-- While this runs, a former version's requests wait. The strongest lock first: taking it later, with writers waiting for us, would be a deadlock.
lock table shops in access exclusive mode;

create function product_slug(sku text) returns text immutable strict parallel safe language sql
  return trim(both '-' from regexp_replace(lower(sku collate "C"), '[^a-z0-9]+', '-', 'g'));

create table products (
  shop_id uuid not null references shops on delete cascade,
  slug text not null generated always as (product_slug(sku)) stored,  -- the product's part of its page's address: unique, and the same for skus that differ only in case
  sku text not null,
  position integer not null,           -- the merchant's order, with gaps
  name text not null,
  description text,
  currency text not null,              -- the shop's, except for products from the time when a shop could have several currencies
  price bigint not null,               -- with variants, the lowest of theirs
  compare_at_price bigint,
  image_url text,
  options jsonb not null default '[]', -- the names of what variants differ in, at most 3
  stock integer,                       -- null: not tracked, always available; with variants, they have the stock
  reserved integer not null default 0 check (reserved >= 0),
  version integer not null default 1,  -- counts edits: what If-Match compares
  size integer not null,               -- bytes as JSON in the message of a deployment
  digest bytea,                        -- of that JSON, to tell whether an import changes the product; null: unknown
  primary key (shop_id, slug),
  unique (shop_id, position) deferrable initially deferred,
  check (stock >= reserved)
);

create table variants (
  shop_id uuid not null,
  product text not null,
  key text not null generated always as (lower(sku collate "C")) stored,
  sku text not null,
  position integer not null,
  option_values jsonb not null,        -- one for each of the product's options
  price bigint not null,
  stock integer,
  reserved integer not null default 0 check (reserved >= 0),
  primary key (shop_id, key),
  foreign key (shop_id, product) references products on delete cascade,
  check (stock >= reserved)
);
create index variants_of_product on variants (shop_id, product, position);

create table collections (
  shop_id uuid not null references shops on delete cascade,
  slug text not null,
  position integer not null,
  name text not null,
  description text,
  primary key (shop_id, slug)
);

create table collection_products (
  shop_id uuid not null,
  collection text not null,
  product text not null,
  position integer not null,
  primary key (shop_id, collection, product),
  foreign key (shop_id, collection) references collections on delete cascade,
  foreign key (shop_id, product) references products on delete cascade
);
create index collection_products_of_product on collection_products (shop_id, product);
create index collection_products_in_order on collection_products (shop_id, collection, position);

alter table shops
  add currency text,                   -- null: not known before the first product
  add locale text not null default 'en',
  alter products set default '[]';

-- From here on everything is for a former version that runs beside this one: it reads and writes shops.products, the whole list as one JSON document, and knows nothing of
-- the rows. Triggers keep both the same, so that this version's code deals with rows only, and the next migration can drop the triggers and the column.
--
--   Rows to document: this version changes rows first and then increments shops.version, in one transaction. That update, and only that one, writes the document again: once for
--   an import of 10,000 products, and never for a change of stock, which the document doesn't have. A former version thus always reads and deploys the whole current list.
--   Document to rows: a document that a former version inserts or changes is merged into the rows. Products keep what the document doesn't have: variants, stock, collections.
--
-- A former version allows several currencies in a shop and two decimals in every currency. Each product keeps its currency; a price that its currency doesn't allow
-- is rounded (12.50 JPY, which nobody can pay, to 13). The price of a product with variants stays the lowest of theirs, whatever a former version writes.

create function minor_units(currency text) returns integer immutable strict parallel safe language sql
  return case
    when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') then 0
    when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
    when currency in ('CLF', 'UYW') then 4
    else 2
  end;

create function merge_products(shop uuid, document jsonb) returns void language plpgsql as $$
begin
  delete from products p
  where p.shop_id = shop and not exists (select from jsonb_array_elements(document) item where product_slug(item ->> 'sku') = p.slug);

  insert into products as p (shop_id, sku, position, name, description, currency, price, image_url, size)
  select shop, item ->> 'sku', number - 1, item ->> 'name', item ->> 'description', item ->> 'currency',
         round((item ->> 'price')::numeric * 10::numeric ^ minor_units(item ->> 'currency')), item ->> 'imageUrl', octet_length(item::text)
  from jsonb_array_elements(document) with ordinality as items (item, number)
  on conflict (shop_id, slug) do update
  set sku = excluded.sku, position = excluded.position, name = excluded.name, description = excluded.description, image_url = excluded.image_url,
      currency = case when p.options = '[]' then excluded.currency else p.currency end,
      price = case when p.options = '[]' then excluded.price else p.price end,
      compare_at_price = case when p.currency = excluded.currency and p.compare_at_price > excluded.price then p.compare_at_price end,
      size = case when p.options = '[]' then excluded.size else p.size + excluded.size end, digest = null, version = p.version + 1
  where (p.sku, p.position, p.name, p.description, p.currency, p.price, p.image_url)
    is distinct from (excluded.sku, excluded.position, excluded.name, excluded.description, excluded.currency, excluded.price, excluded.image_url);
end
$$;

create function products_document(shop uuid) returns jsonb stable language sql as $$
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'sku', sku, 'name', name, 'description', description,
    'price', round(price / 10::numeric ^ minor_units(currency), minor_units(currency)), 'currency', currency, 'imageUrl', image_url)) order by position), '[]')
  from products where shop_id = shop
$$;

do $$
begin
  perform merge_products(id, products) from shops where products <> '[]';
end
$$;
update shops set currency = products -> 0 ->> 'currency' where products <> '[]';

create function follow_former_insert() returns trigger language plpgsql as $$
begin
  perform merge_products(new.id, new.products);
  update shops set currency = coalesce(currency, new.products -> 0 ->> 'currency') where id = new.id;
  return null;
end
$$;

create function follow_former_update() returns trigger language plpgsql as $$
begin
  if new.products is distinct from old.products then
    perform merge_products(new.id, new.products);
    new.currency := coalesce(new.products -> 0 ->> 'currency', new.currency);
  else
    new.products := products_document(new.id);
  end if;
  return new;
end
$$;

create trigger follow_former_insert after insert on shops for each row when (new.products <> '[]') execute function follow_former_insert();
create trigger follow_former_update before update on shops for each row when (new.version <> old.version) execute function follow_former_update();
