"""`python -m notification_service web|worker|all`.

Guarantee: none of its own; it hands the service to the chassis.
"""

from chassis import main
from notification_service.app import SERVICE

if __name__ == "__main__":
    main(SERVICE)
