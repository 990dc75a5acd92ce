throw new TypeError('this Worker cannot be');
