"""First names by the pronoun that goes with them in most English texts."""

HE = (
    *("James", "John", "Robert", "Michael", "David", "William", "Richard", "Thomas", "Charles"),
    *("Daniel", "Matthew", "Anthony", "Mark", "Paul", "Steven", "Andrew", "Joshua", "Kevin"),
    *("Brian", "George", "Edward", "Ronald", "Timothy", "Jason", "Jeffrey", "Ryan", "Jacob"),
    *("Gary", "Nicholas", "Eric", "Jonathan", "Stephen", "Larry", "Justin", "Scott", "Benjamin"),
    *("Samuel", "Frank", "Gregory", "Raymond", "Alexander", "Patrick", "Jack", "Peter", "Henry"),
    *("Simon", "Adam", "Oliver", "Arthur", "Harry", "Philip", "Martin", "Leo", "Carl", "Hugo"),
)
SHE = (
    *("Mary", "Patricia", "Jennifer", "Linda", "Elizabeth", "Barbara", "Susan", "Jessica"),
    *("Sarah", "Karen", "Lisa", "Nancy", "Margaret", "Sandra", "Emily", "Donna", "Michelle"),
    *("Carol", "Amanda", "Melissa", "Deborah", "Stephanie", "Rebecca", "Laura", "Helen"),
    *("Sharon", "Amy", "Anna", "Angela", "Ruth", "Katherine", "Emma", "Nicole", "Catherine"),
    *("Christine", "Maria", "Rachel", "Julie", "Alice", "Julia", "Grace", "Victoria", "Diana"),
    *("Jane", "Rose", "Sophie", "Clara", "Lucy", "Kate", "Ellen", "Martha", "Claire", "Eva"),
)
