"""The engine for many machines: PostgreSQL, reached by a libpq URL. Imported when such a URL is opened."""

from ptstream.errors import ConfigurationError

try:
    import psycopg  # noqa: F401 - the extra `postgres`
except ImportError as error:
    raise ConfigurationError("PostgreSQL is reached by psycopg: pip install 'ptstream[postgres]'") from error
