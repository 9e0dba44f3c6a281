"""gunicorn -c gunicorn.conf.py kvm_tuning.wsgi.vendordata:application"""

bind = '127.0.0.1:8089'
workers = 2
worker_class = 'gthread'
threads = 8
# A worker that hangs is replaced.
timeout = 30
graceful_timeout = 5
# No connection is kept for who sends nothing.
keepalive = 0
