"""The engine for many machines: PostgreSQL, reached by a libpq URL. Imported when such a URL is opened."""

from ptstream.errors import ConfigurationError

try:
    import psycopg as _  # the extra `postgres`
except ImportError as error:
    raise ConfigurationError(
        "PostgreSQL is reached by psycopg, which is missing: pip install 'ptstream[postgres]'"
    ) from (error)
