"""Uses the generated client as people do; test_client.py runs it and has mypy check it."""

import json
import sys

from similar_titles_client import Client
from similar_titles_client.api.movies import get_movies
from similar_titles_client.api.recommendations import post_recommendations
from similar_titles_client.api.similar import get_similar
from similar_titles_client.models import (
    Movies,
    Problem,
    RecommendationRequest,
    Recommendations,
    SimilarTitles,
)


def main(url: str) -> None:
    """Search, take the first movie, ask for similar titles and recommendations, and err twice."""
    with Client(base_url=url) as api:
        found = get_movies.sync(client=api, title="movie 5", limit=3)
        assert isinstance(found, Movies), found
        movie_id = found.movies[0].movie_id
        similar = get_similar.sync(movie_id, client=api, limit=4, genre=["comedy"], measure="ease")
        assert isinstance(similar, SimilarTitles), similar
        request = RecommendationRequest(liked=[movie_id], disliked=[9], limit=5)
        recommended = post_recommendations.sync(client=api, body=request)
        assert isinstance(recommended, Recommendations), recommended
        unknown = get_similar.sync_detailed(999_999, client=api)
        assert isinstance(unknown.parsed, Problem), unknown
        invalid = get_similar.sync_detailed(movie_id, client=api, limit=51)
        assert isinstance(invalid.parsed, Problem), invalid
    told = {
        "found": found.to_dict(),
        "similar": similar.to_dict(),
        "recommended": recommended.to_dict(),
        "titles": [row.title for row in similar.similar],
        "because": [[each.movie_id for each in row.because] for row in recommended.recommendations],
        "unknown": [int(unknown.status_code), unknown.parsed.to_dict()],
        "invalid": [int(invalid.status_code), invalid.parsed.to_dict()],
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
