-- Every literal that the server logs holds a canary: `cnry` or 91827364, and `pwnry` where it is a password.
select email from people where email = 'cnry01@example.org' and n > 91827364001
select email from people where email = E'cnry02\'cnry02' or email = $$cnry03 'it' $$ or email = $t$cnry04$t$
select email from people where email in (U&'\0041cnry05', U&'cnry06!0041' UESCAPE '!', N'cnry07', 'cnry08'::varchar(20))
select email from people where n in (91827364009, -91827364010, 91827364.011e3, 0.91827364) and email = any (array['cnry12'])
select 'cnry13'\n 'cnry14', E'a'\n'cnry15\'cnry15', X'91827364', B'1'
/* cnry16 /* cnry16 */ */ select count(*) from people -- cnry17
select count(*) from people /*action='cnry18',application='cnry18',traceparent='00-cnry19-01'*/
/*application:cnry20,controller:cnry20*/ select n from people limit 91827364
insert into people values ('cnry21@example.org', 91827364021)
insert into people values ('cnry21@example.org', 91827364021)
insert into people (email, n) values ('cnry22', -91827364022)
select 'cnry23'::int
select 1 / (n - n) from people where email like '%cnry24%' or n = 91827364021
do $$ begin raise exception 'cnry25 %', 'cnry25' using detail = 'cnry25', hint = 'cnry25'; end $$
do $$ begin raise log 'cnry26'; raise notice 'cnry26'; raise warning 'cnry26'; end $$
do $$ begin raise log 'duration: 5000.000 ms  statement: select ''cnry27'''; end $$
do $$ begin raise log E'duration: 9000.000 ms  plan:\n{"Query Text": "select ''cnry28''", "Plan": {"Node Type": "cnry28", "Filter": "(a = ''cnry28'')"}}'; end $$
copy people (n) from program 'echo cnry29'
copy (select email from people where email = 'cnry30') to program 'cat > /dev/null # cnry30'
select spent('cnry31')
select spent_in_sql('cnry32')
select * from far_people where email = 'cnry33' and n > 91827364033
select * from far_people where upper(email) = 'cnry34'
update far_people set n = 91827364035 where email = 'cnry35'
prepare p35 (text) as select email from people where email = $1 and email <> 'cnry36'
execute p35 ('cnry37')
begin
savepoint "cnry38"
rollback to "cnry38"
declare "cnry39" cursor for select email from people where email = 'cnry39'
fetch 918273 from "cnry39"
close "cnry39"
notify chan, 'cnry40'
rollback
set app.note = 'cnry41'
set app.note to cnry42
select set_config('app.note', 'cnry43', false)
comment on table people is 'cnry44'
create view people_view as select email from people where email = 'cnry45'
select * from people_view where email like 'cnry46%' order by email || 'cnry46'
select email from people where email = 'O'cnry47' and email = 'cnry47'
select email from people where email = 'cnry48
insert into people values (cnry49, 91827364049 91827364049)
select email from people where email = "cnry50@example.org" or email = 'cnry50'
select email from people where email = cnry51
select email from people where email = $$cnry52
copy people from stdin;\ncnry53\t91827364053\n\\.
select jsonb_path_query('{"a": "cnry54"}', '$.a ? (@ == "cnry54")') from people
select * from people where email similar to '(cnry55|x)' or n between 91827364055 and 91827364055.5
select row_number() over (order by email = 'cnry56'), array_agg(email || 'cnry56' order by n + 91827364056) from people group by email, n + 91827364
with w as (select 'cnry57' as a) select * from w join people on email = a and a <> 'cnry57' limit 91827364
merge into people using (select 'cnry58' as e) s on email = e when not matched then insert values (e || 'cnry58', 91827364058)
select * from xmltable('/a' passing '<a>cnry59</a>'::xml columns a text path '.' default 'cnry59')
select * from generate_series(1, 3) g where g::text = 'cnry60' union select 91827364060
explain analyze select email from people where email = 'cnry61'
create table part_1 partition of parts for values in ('cnry62')
alter table people add constraint c check (email <> 'cnry63')
select pg_sleep(0.3), 'cnry64'
select email from people where email <> 'cnry77' order by email || 'cnry77'
select a.email from people a join people b on a.email || 'cnry78' = b.email || 'cnry78' where a.n <> 91827364078 order by b.n * 91827364
select * from nowhere where a = 'cnry65'
call nothing('cnry66')
select lo_import('/nonexistent/cnry67')
select email from people order by 'cnry68'::text, md5('cnry68') desc limit 3
lock table people in share mode; select 'cnry69'; select 91827364069
alter role bob password 'pwnry01'
alter role bob password pwnry02
alter role bob password "pwnry03"
create role ann password 'pwnry04' valid until '2030-01-01'
create user mapping for public server far options (user 'postgres', password 'pwnry05')
create subscription s connection 'host=nowhere.invalid password=pwnry06' publication p with (connect = false)
do $$ begin execute format('alter role bob password %L', 'pwnry07'); end $$
create function f() returns int language plpgsql as $$ begin alter role bob password 'pwnry08'; return 1; end $$
select dblink_connect('host=/nonexistent password=pwnry09')
select 'postgres://bob:pwnry10@db.invalid/x'
select email from people where email = 'my password is pwnry11
