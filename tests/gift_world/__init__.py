"""A saga that is not the bookstore's: points are taken, a book is wrapped, a parcel is shipped."""
