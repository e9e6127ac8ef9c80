//! The nearest known word to an unknown one.
//! It must not decide whether a word is wrong; callers do.

/// Edit distance where swapping two neighbours counts as one edit (optimal string alignment).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The known word that is nearest to `word`, if one is near enough to have been meant: a third of its
/// length in edits, at most three.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let near = |candidate: &&str| {
        let bound = (candidate.chars().count() / 3).clamp(1, 3);
        edit_distance(&lower, &candidate.to_lowercase()) <= bound
    };
    known.into_iter().filter(near).min_by_key(|candidate| edit_distance(&lower, &candidate.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_costs_one_edit() {
        let table = [
            ("image", "image", 0),
            ("imgae", "image", 1),
            ("imag", "image", 1),
            ("x", "", 1),
            ("ab", "ba", 1),
        ];
        for (a, b, distance) in table {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["image", "environment", "ports"];
        assert_eq!(nearest("enviroment", known), Some("environment"));
        assert_eq!(nearest("Ports", known), Some("ports"));
        assert_eq!(nearest("zebra", known), None);
    }
}
