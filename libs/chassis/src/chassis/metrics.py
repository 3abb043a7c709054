"""What the chassis counts, for Prometheus.

Guarantee: label values are operations of AWS that our code names, so the series are bounded.
"""

from prometheus_client import Counter

AWS_CALLS = Counter("aws_calls_total", "Requests to AWS, retries included", ["operation"])
