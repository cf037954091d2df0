//! Line prefixes that are tried first: those in use, and shapes for the others.

/// Line prefixes in use: PostgreSQL's default, those of distributions and cloud providers, those that log tools recommend. Where two differ
/// only by `%q` the one with it comes first, because it reads the lines of the other as well.
pub(super) const WELL_KNOWN: &[&str] = &[
    // PostgreSQL 10 and later; Debian and Ubuntu from 10 on, and before.
    "%m [%p] ",
    "%m [%p] %q%u@%d ",
    "%t [%p-%l] %q%u@%d ",
    // Red Hat's packages for 9.x; EDB's installers; PostgreSQL before 10.
    "< %m > ",
    "%t ",
    "",
    // Amazon RDS, Aurora; Azure; Cloud SQL and AlloyDB; Heroku.
    "%t:%r:%u@%d:[%p]:",
    "%t:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a:",
    "%t-%c-",
    "%m [%p]: [%l-1] db=%d,user=%u ",
    " sql_error_code = %e time_ms = \"%m\" pid=\"%p\" proc_start_time=\"%s\" session_id=\"%c\" vtid=\"%v\" tid=\"%x\" log_line=\"%l\" %qdatabase=\"%d\" connection_source=\"%r\" user=\"%u\" application_name=\"%a\" ",
    // Crunchy Bridge; Supabase; Aiven and DigitalOcean; Spilo.
    "%m [%p][%b][%v][%x] %q[user=%u,db=%d,app=%a] ",
    "%h %m [%p] %q%u@%d ",
    "pid=%p,user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: [%l-1] %c %x %d %u %a %h ",
    // pgBadger's manual and its older forms, with either time.
    "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: user=%u,db=%d ",
    "%t [%p]: [%l-1] user=%u,db=%d ",
    "%m [%p]: [%l-1] user=%u,db=%d ",
    "%t [%p]: [%l-1] ",
    // What pganalyze's documentation lists beside those.
    "%m [%p] %q[user=%u,db=%d,app=%a] ",
    "%m [%p] %q[user=%u,db=%d,app=%a,host=%h] ",
    "%m [%p][%v] : [%l-1] %q[app=%a] ",
    "%t [%p]: [%l-1] user=%u,db=%d - PG-%e ",
    "%t [%p]: [%l-1] [trx_id=%x] user=%u,db=%d ",
    "[%p]: [%l-1] db=%d,user=%u ",
    "user=%u,db=%d,app=%a,client=%h ",
    "%m %r %u %a [%c] [%p] ",
    "%p-%s-%c-%l-%h-%u-%d-%m ",
    // Variations of the default.
    "%t [%p] ",
    "%m ",
    "%m [%p] %u@%d ",
    "%t [%p] %q%u@%d ",
    "%m [%p] %q%u@%d/%a ",
    "%m [%p] %q%r %u@%d ",
    "%m [%p] %q%h %u@%d ",
    "%m [%p] %L %r %u@%d ",
    "%m [%p] [%l] %q%u@%d ",
    "%m [%p] [%c] %q%u@%d ",
    "%m [%p] [%Q] %q%u@%d ",
    "[%p]",
    "%n %p ",
    "%c %l ",
];

/// Shapes for prefixes that aren't well known: a time and a process id, and text that stays unnamed.
pub(super) const SHAPES: &[&str] = &["%m [%p]%*", "%t [%p]%*", "%m%*[%p]%*", "%t%*[%p]%*"];
