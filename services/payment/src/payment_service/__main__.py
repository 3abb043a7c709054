"""`python -m payment_service web|worker|all|migrate`.

Guarantee: none of its own; it hands the service to the chassis.
"""

from chassis import main
from payment_service.app import SERVICE

if __name__ == "__main__":
    main(SERVICE)
